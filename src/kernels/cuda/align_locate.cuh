#pragma once

#include "kernels/cuda/align_plan.hpp"
#include "math/place.hpp"

// Step 1 of align: which samples a target needs.
namespace robocache::cuda {

/// The stamps of one segment, shifted.
template <class T>
struct Stamps {
  const T* data;
  std::int64_t row;
  std::int64_t offset_ns;

  __device__ __forceinline__ T operator()(std::int64_t i) const {
    return Clock<T>::shift(__ldg(data + i * row), offset_ns);
  }
};

/// Every `stride`-th stamp from `first` on, up to but not including `end`, in shared memory. It holds what the targets of one
/// block can ask for, unless they are too far apart: then stride > 1, and the search goes on in global memory.
template <class T>
struct Window {
  Stamps<T> all;
  const T* cache;
  std::int64_t first, end, stride;
  int count;

  __device__ __forceinline__ T operator()(std::int64_t i) const {
    const std::int64_t k = i - first;
    return stride == 1 && k >= 0 && k < count ? cache[k] : all(i);
  }

  /// The last sample at or before t, or -1; t is one of the block's targets.
  __device__ __forceinline__ std::int64_t last_at_or_before(T t) const {
    int before = 0;  // cached stamps known to be at or before t
    for (int step = count > 0 ? 1 << (31 - __clz(count)) : 0; step > 0; step >>= 1) {
      if (before + step <= count && cache[before + step - 1] <= t) before += step;
    }
    if (stride == 1 || before == 0) return first + before - 1;
    const std::int64_t known = first + (before - 1) * stride;
    return robocache::last_at_or_before<T>(all, known + 1, min(known + stride, end), t);
  }
};

/// Narrows [first, end) to the samples that targets in [earliest, latest] need; called by every thread of the block.
template <class T>
__device__ __forceinline__ void narrow(const Stamps<T>& all, T earliest, T latest, std::int64_t& first, std::int64_t& end) {
  while (end - first > kAlignWindow) {
    const std::int64_t length = end - first;
    const std::int64_t stride = (length + kAlignThreads - 1) / kAlignThreads;
    const std::int64_t i = first + threadIdx.x * stride;
    const bool probes = i < end;
    const T stamp = probes ? all(i) : T{};
    const int before = __syncthreads_count(probes && stamp <= earliest);
    const int until = __syncthreads_count(probes && stamp <= latest);
    end = min(end, first + until * stride + 1);
    first += max(before - 1, 0) * stride;
    if (2 * (end - first) > length) return;
  }
}

/// Fills `cache`; called by every thread of the block, which must meet at a barrier before using the result.
template <class T>
__device__ __forceinline__ Window<T> load_window(const Stamps<T>& all, std::int64_t count, T earliest, T latest,
                                                 bool inside, T* cache) {
  std::int64_t first = 0;
  std::int64_t end = count;
  if (count > kAlignWindow && __syncthreads_and(inside)) narrow(all, earliest, latest, first, end);
  const std::int64_t stride = end - first <= kAlignWindow ? 1 : (end - first + kAlignWindow - 1) / kAlignWindow;
  const int cached = static_cast<int>(stride == 1 ? end - first : (end - first + stride - 1) / stride);
  for (int k = threadIdx.x; k < cached; k += kAlignThreads) cache[k] = all(first + k * stride);
  return {all, cache, first, end, stride, cached};
}

}  // namespace robocache::cuda
