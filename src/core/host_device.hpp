#pragma once

// Functions marked ROBOCACHE_HD are compiled for the host, once per ISA level, and for CUDA. They are always inlined:
// an out-of-line copy built for a higher ISA level could otherwise be the one that the linker keeps for every level.
#if defined(__CUDACC__)
#define ROBOCACHE_HD __host__ __device__ __forceinline__
#else
#define ROBOCACHE_HD inline __attribute__((always_inline))
#endif
