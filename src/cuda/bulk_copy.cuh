#pragma once

#include <cstdint>

// Copies from global to shared memory that one thread asks for and no register holds (sm_90 and newer).
namespace robocache::cuda {

/// Bytes that a bulk copy and both its addresses are multiples of.
inline constexpr std::uint32_t kBulkUnit = 16;

/// Lies in shared memory, and is used once: `init` by one thread, a block-wide barrier, then `expect` by as many threads
/// as `init` was told, each before its own copy, and `wait` by whoever reads what was copied.
class BulkBarrier {
 public:
  __device__ __forceinline__ void init([[maybe_unused]] std::uint32_t copies) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address(&word_)), "r"(copies) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
  }

  /// Starts a copy; none of it is there before `wait` returned. `bytes` may be 0.
  __device__ __forceinline__ void copy([[maybe_unused]] void* to, [[maybe_unused]] const void* from,
                                       [[maybe_unused]] std::uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address(&word_)), "r"(bytes)
                 : "memory");
    if (bytes == 0) return;
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(address(to)),
        "l"(from), "r"(bytes), "r"(address(&word_))
        : "memory");
#endif
  }

  __device__ __forceinline__ void wait() {
#if __CUDA_ARCH__ >= 900
    std::uint32_t done = 0;
    while (done == 0) {
      asm volatile(
          "{\n\t"
          ".reg .pred p;\n\t"
          "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n\t"
          "selp.u32 %0, 1, 0, p;\n\t"
          "}"
          : "=r"(done)
          : "r"(address(&word_))
          : "memory");
    }
#endif
  }

 private:
  __device__ static std::uint32_t address(const void* p) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
  }

  alignas(8) std::uint64_t word_;
};

}  // namespace robocache::cuda
