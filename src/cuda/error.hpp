#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

namespace robocache::cuda {

[[noreturn]] void fail(std::string_view op, cudaError_t status);

/// Throws CudaError `op: CUDA says ...` unless `status` is success.
inline void check(std::string_view op, cudaError_t status) {
  if (status != cudaSuccess) fail(op, status);
}

}  // namespace robocache::cuda
