#include "cuda/device_guard.hpp"

#include <string>

#include "cuda/error.hpp"
#include "cuda/process.hpp"
#include "robocache/error.hpp"

namespace robocache::cuda {

namespace {

constexpr int kUnchanged = -1;

}  // namespace

DeviceGuard::DeviceGuard(int device) : previous_(kUnchanged) {
  enter();
  int current = 0;
  check("device", cudaGetDevice(&current));
  if (current == device) return;
  const cudaError_t status = cudaSetDevice(device);
  if (status == cudaErrorInvalidDevice) {
    static_cast<void>(cudaGetLastError());
    int count = 0;
    check("device", cudaGetDeviceCount(&count));
    throw CudaError("device: index is " + std::to_string(device) + ", expected 0 <= index < " + std::to_string(count));
  }
  check("device", status);
  previous_ = current;
}

DeviceGuard::~DeviceGuard() {
  if (previous_ != kUnchanged) static_cast<void>(cudaSetDevice(previous_));
}

void synchronize(int device, void* stream) {
  const DeviceGuard guard(device);
  check("synchronize", cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

void copy(void* to, const void* from, std::size_t bytes, int device, void* stream) {
  const DeviceGuard guard(device);
  check("copy", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream)));
}

}  // namespace robocache::cuda
