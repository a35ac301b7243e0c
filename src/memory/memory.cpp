#include "robocache/memory.hpp"

#include "core/build.hpp"
#include "memory/cuda_memory.hpp"
#include "robocache/error.hpp"

namespace robocache {

namespace {

const char* const kNoCuda = "a build without CUDA, expected one with it; build where nvcc is installed";

}  // namespace

MemoryResource& pinned_memory() {
  if constexpr (build::cuda) return cuda::pinned_memory();
  throw Unsupported(std::string("pinned_memory: this is ") + kNoCuda);
}

MemoryResource& device_memory(int index) {
  if constexpr (build::cuda) return cuda::device_memory(index);
  throw Unsupported("device_memory(" + std::to_string(index) + "): this is " + kNoCuda);
}

int cuda_device_count() noexcept {
  if constexpr (build::cuda) return cuda::device_count();
  return 0;
}

}  // namespace robocache
