#pragma once

#include <cstdint>
#include <utility>

#include <robocache/device.hpp>

namespace robocache {

/// When a call says what the data itself got wrong (unsorted or NaN stamps, bad lengths ...).
enum class DataCheck : std::uint8_t {
  automatic,  ///< CPU: at once. CUDA: in Pending::check() or in the next RoboCache call on that device that sees it
  now,        ///< at once; on CUDA this waits for the stream
  off         ///< never looks
};

/// What a finished call may still have to say about its data. Nothing on the CPU, which has thrown already.
class Pending {
 public:
  /// Waits for the stream `stream` of `device`, then throws InvalidArgument if report `slot` holds a fault.
  using Raise = void (*)(Device device, void* stream, std::uint32_t slot);

  Pending() = default;
  Pending(Raise raise, Device device, void* stream, std::uint32_t slot) noexcept
      : raise_(raise), device_(device), stream_(stream), slot_(slot) {}

  /// Waits for the stream of the call, then throws InvalidArgument if its data was bad. A second call is silent.
  void check() {
    if (Raise raise = std::exchange(raise_, nullptr)) raise(device_, stream_, slot_);
  }

 private:
  Raise raise_ = nullptr;
  Device device_{};
  void* stream_ = nullptr;
  std::uint32_t slot_ = 0;
};

}  // namespace robocache
