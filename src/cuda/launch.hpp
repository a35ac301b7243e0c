#pragma once

#include <cuda_runtime_api.h>
#include <nvtx3/nvToolsExt.h>

#include "cuda/error.hpp"

namespace robocache::cuda {

/// Names a scope in profilers.
class Range {
 public:
  explicit Range(const char* name) noexcept { nvtxRangePushA(name); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range() { nvtxRangePop(); }
};

/// Launches `kernel` with one parameter, in a profiler range named after the operator. Throws CudaError.
template <class Parameter>
void launch(const char* op, void (*kernel)(Parameter), dim3 grid, unsigned threads, void* stream,
            const Parameter& parameter) {
  const Range range(op);
  void* arguments[] = {const_cast<Parameter*>(&parameter)};
  check(op, cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, dim3(threads), arguments, 0,
                             static_cast<cudaStream_t>(stream)));
}

}  // namespace robocache::cuda
