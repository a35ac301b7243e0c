#pragma once

#include <cstddef>

namespace robocache::cuda {

/// Makes a device current for a scope. Throws CudaError for a bad index, and in a process forked after CUDA was used.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
  ~DeviceGuard();

 private:
  int previous_;
};

/// Waits for what has been ordered on `stream` of `device`. Throws CudaError.
void synchronize(int device, void* stream);

/// Copies to, from or on `device`, ordered on `stream`; pageable host memory is written when that has been waited for.
/// Throws CudaError.
void copy(void* to, const void* from, std::size_t bytes, int device, void* stream);

}  // namespace robocache::cuda
