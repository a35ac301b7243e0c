#pragma once

#include <cstdint>

// Stores from shared memory that a unit of the processor makes by itself (sm_90 and newer): one thread asks for 16 KiB
// and more, and other kernels on the processor keep their places and their way to memory.
namespace robocache::cuda {

#if __CUDA_ARCH__ >= 900

/// After a thread wrote shared memory that bulk_store() is to read, and before the barrier that tells the one who asks.
__device__ __forceinline__ void publish_to_bulk() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Whole units of 16 bytes from shared memory, which has to stay as it is until the wait; both ends aligned to that.
/// What is stored leaves the L2 before anything else does.
__device__ __forceinline__ void bulk_store(void* to, const void* shared, std::uint32_t bytes) {
  std::uint64_t leaves_first = 0;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(leaves_first));
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint [%0], [%1], %2, %3;" ::"l"(
                   __cvta_generic_to_global(to)),
               "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(shared))), "r"(bytes), "l"(leaves_first)
               : "memory");
}

/// Until all that this thread asked for is written.
__device__ __forceinline__ void await_bulk_stores() {
  asm volatile("cp.async.bulk.commit_group;\n\tcp.async.bulk.wait_group 0;" ::: "memory");
}

#endif

}  // namespace robocache::cuda
