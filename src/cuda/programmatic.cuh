#pragma once

#include <cstdint>

// Programmatic dependent launch (sm_90 and newer; nothing elsewhere): a kernel launched with Start::early may begin
// while the one before it on its stream still runs. What makes that safe:
// - It touches no memory before await_earlier(), which returns when the kernels before it are complete and their writes
//   can be seen. prefetch() is no access: it brings lines to the L2, where later writes go, too. Only behind kernels of
//   the same call, of which the first began in order, may it read what none of them writes: that was complete before
//   them.
// - It is not complete before its own await_earlier() has returned. So whoever waits for this kernel, early or not, has
//   waited for all those before it, even when they began early themselves.
// - It begins only once every block of the kernel before it has called start_next() or ended, so it takes no place that
//   those blocks still need. Kernels that never call that, and copies, are simply waited for.
namespace robocache::cuda {

__device__ __forceinline__ void start_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ void await_earlier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// A load that stays behind await_earlier(). ptxas moves __ldg before it where no branch is between them: that promises
/// that nobody writes there as long as the kernel runs.
template <class T>
__device__ __forceinline__ T load_behind(const T* from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  T value;
  if constexpr (sizeof(T) == 4)
    asm volatile("ld.global.b32 %0, [%1];" : "=r"(reinterpret_cast<std::uint32_t&>(value)) : "l"(from) : "memory");
  else
    asm volatile("ld.global.b64 %0, [%1];" : "=l"(reinterpret_cast<std::uint64_t&>(value)) : "l"(from) : "memory");
  return value;
}

/// Asks for `bytes` from `from` on, or a few less, to be brought to the L2. One thread does for all.
__device__ __forceinline__ void prefetch([[maybe_unused]] const char* from, [[maybe_unused]] std::int64_t bytes) {
#if __CUDA_ARCH__ >= 900
  constexpr std::uintptr_t kUnit = 16;
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(from) & ~(kUnit - 1);
  const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(from + bytes) & ~(kUnit - 1);
  if (bytes <= 0 || begin == end) return;
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(begin), "r"(static_cast<std::uint32_t>(end - begin)));
#endif
}

}  // namespace robocache::cuda
