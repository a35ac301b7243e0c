#pragma once

// Functions marked ROBOCACHE_HD are compiled for the host, once per ISA level, and for CUDA. They are always inlined:
// an out-of-line copy built for a higher ISA level could otherwise be the one that the linker keeps for every level.
//
// ROBOCACHE_UNROLL stands before a loop of a few rounds that is to be written out.
#if defined(__CUDACC__)
#define ROBOCACHE_HD __host__ __device__ __forceinline__
#if defined(__CUDA_ARCH__)
#define ROBOCACHE_UNROLL _Pragma("unroll")
#else
#define ROBOCACHE_UNROLL  // The host's compiler gets its side of a .cu from nvcc, which loses the GCC.
#endif
#else
#define ROBOCACHE_HD inline __attribute__((always_inline))
#define ROBOCACHE_UNROLL _Pragma("GCC unroll 16")
#endif
