#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "cuda/device_guard.hpp"
#include "robocache/error.hpp"

namespace robocache::cuda {

/// One T(device) for each device, made on first use with that device current. They are never destroyed: work that uses
/// them may still run when the process ends.
template <class T>
class PerDevice {
 public:
  T& operator[](int device) {
    if (device < 0 || device >= kDevices) refuse(device);
    std::atomic<T*>& slot = slots_[static_cast<std::size_t>(device)];
    if (T* made = slot.load(std::memory_order_acquire)) return *made;
    const DeviceGuard guard(device);
    const std::lock_guard lock(mutex_);
    if (T* made = slot.load(std::memory_order_relaxed)) return *made;
    auto made = std::make_unique<T>(device);
    slot.store(made.get(), std::memory_order_release);
    return *made.release();
  }

 private:
  [[noreturn]] static void refuse(int device) {
    const DeviceGuard throws(device);
    throw CudaError("device: index is " + std::to_string(device) + ", expected less than " + std::to_string(kDevices));
  }

  static constexpr int kDevices = 128;
  std::array<std::atomic<T*>, kDevices> slots_{};
  std::mutex mutex_;
};

}  // namespace robocache::cuda
