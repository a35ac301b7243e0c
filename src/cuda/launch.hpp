#pragma once

#include <cuda_runtime_api.h>
#include <nvtx3/nvToolsExt.h>

#include <cstddef>
#include <initializer_list>

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

/// Whether kernels can start early on the current device: it knows how, and what it runs was compiled for devices that
/// do. In a build for older ones await_earlier() is nothing.
inline bool starts_early(const char* op) {
  constexpr int kFirst = 900;
  int device = 0;
  int major = 0;
  check(op, cudaGetDevice(&device));
  check(op, cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  for (const int compiled : {__CUDA_ARCH_LIST__}) {
    if (compiled >= kFirst && compiled / 100 <= major) return true;
  }
  return false;
}

/// `early`: while the kernel before it on the stream still runs, where the device can (cuda/programmatic.cuh says what
/// the kernel owes).
enum class Start { in_order, early };

/// Launches `kernel` with one parameter, in a profiler range named after the operator; its blocks have `shared` bytes of
/// shared memory beside what they declare. Throws CudaError.
template <class Parameter>
void launch(const char* op, void (*kernel)(Parameter), dim3 grid, unsigned threads, void* stream,
            const Parameter& parameter, Start start = Start::in_order, std::size_t shared = 0) {
  const Range range(op);
  if (shared > 0) {
    check(op, cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared)));
  }
  void* arguments[] = {const_cast<Parameter*>(&parameter)};
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = start == Start::early && starts_early(op) ? 1 : 0;
  check(op, cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), arguments));
}

}  // namespace robocache::cuda
