#pragma once

#include <cstdint>
#include <string>

namespace robocache {

enum class DeviceKind : std::uint8_t { cpu, cuda };

/// Where memory lives. The CPU has index 0 only.
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  std::int32_t index = 0;

  friend constexpr bool operator==(Device, Device) = default;
};

inline std::string name(Device device) {
  return device.kind == DeviceKind::cpu ? std::string("cpu") : "cuda:" + std::to_string(device.index);
}

}  // namespace robocache
