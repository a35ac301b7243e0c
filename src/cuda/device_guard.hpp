#pragma once

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

}  // namespace robocache::cuda
