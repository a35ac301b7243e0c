#pragma once

#include "kernels/cuda/align_plan.hpp"
#include "math/place.hpp"

// Step 1 of align: which samples a target needs.
namespace robocache::cuda {

/// The stamps of one segment, shifted.
template <class T>
struct Stamps {
  const char* data;
  std::int64_t row;  ///< bytes
  T shift;

  __device__ __forceinline__ T operator()(std::int64_t i) const {
    return Clock<T>::sum(__ldg(reinterpret_cast<const T*>(data + i * row)), shift);
  }
};

/// Every `stride`-th stamp from `first` on, up to but not including `end`, in shared memory. It holds what the targets of one
/// block can ask for, unless they are too far apart: then stride > 1, and the search goes on in global memory.
struct Window {
  std::int64_t first, end;
  std::int64_t stride = 1;
  int count = 0;
};

/// A round of the search below: which quarter of the stamps from `before` on, four times `kStep` less one, the target is
/// in.
template <int kStep, class T>
__device__ __forceinline__ void quarter(const T* cache, T t, int& before) {
  const T* const at = cache + before;
  const bool first = at[kStep - 1] <= t;
  const bool second = at[2 * kStep - 1] <= t;
  const bool third = at[3 * kStep - 1] <= t;
  if (first) before += kStep;
  if (second) before += kStep;
  if (third) before += kStep;
}

/// Stamps that a search of `count` looks at: those behind the last one are the last possible one.
__device__ __forceinline__ constexpr int searched(int count) {
  return count > 255 ? kAlignWindow : count > 63 ? 255 : 63;
}

/// How many of the window's stamps are at or before t. Four ways at a time: the chain of dependent reads is half of a binary
/// search's.
template <class T>
__device__ __forceinline__ int at_or_before(const T* cache, int count, T t) {
  int before = 0;
  if (count > 255) quarter<256>(cache, t, before);
  if (count > 63) quarter<64>(cache, t, before);
  quarter<16>(cache, t, before);
  quarter<4>(cache, t, before);
  quarter<1>(cache, t, before);
  return min(before, count);
}

template <class T>
__device__ __noinline__ T read_stamp(const Stamps<T> stamps, std::int64_t i) {
  return stamps(i);
}

/// Stamps as `place` asks for them: i, the last at or before the target (or -1), and i + 1 are at hand.
template <class T>
struct Neighbours {
  Stamps<T> stamps;
  std::int64_t i;
  T before, after;
  const T* cached;  ///< stamps from i on
  int left;         ///< how many of these there are

  __device__ __forceinline__ T operator()(std::int64_t k) const {
    if (k == i) return before;
    if (k == i + 1) return after;
    return k > i && k - i < left ? cached[k - i] : read_stamp(stamps, k);
  }
};

/// The searches that `place` makes among duplicates and beyond the ends, out of line: few targets need them.
template <class T>
__device__ __noinline__ std::int64_t find_last_duplicate(const Stamps<T> stamps, std::int64_t n, std::int64_t i) {
  return last_duplicate<T>(stamps, n, i);
}
template <class T>
__device__ __forceinline__ std::int64_t last_duplicate(const Neighbours<T>& near, std::int64_t n, std::int64_t i) {
  if (i + 1 >= n || near(i + 1) != near(i)) return i;
  return find_last_duplicate<T>(near.stamps, n, i);
}
template <class T>
__device__ __noinline__ std::int64_t find_first_at_or_after(const Stamps<T> stamps, std::int64_t first,
                                                            std::int64_t last, T t) {
  return first_at_or_after<T>(stamps, first, last, t);
}
template <class T>
__device__ __forceinline__ std::int64_t first_at_or_after(const Neighbours<T>& near, std::int64_t first,
                                                          std::int64_t last, T t) {
  return find_first_at_or_after<T>(near.stamps, first, last, t);
}

/// The rest of a search that `stride` stopped short: from a sample that is known to be at or before t, or -1.
template <class T>
__device__ __noinline__ std::int64_t search_on(const Stamps<T> stamps, std::int64_t known, std::int64_t end, T t) {
  return last_at_or_before<T>(stamps, known + 1, end, t);
}

template <class T>
__device__ __forceinline__ Neighbours<T> neighbours(const Window& window, const T* cache, const Stamps<T>& stamps,
                                                    std::int64_t samples, T t) {
  const int k = at_or_before(cache, window.count, t) - 1;
  if (window.stride > 1) {
    const std::int64_t known = k < 0 ? window.first - 1 : window.first + k * window.stride;
    const std::int64_t i =
        search_on<T>(stamps, known, k < 0 ? window.first : min(known + window.stride, window.end), t);
    return {stamps, i, i < 0 ? T{} : read_stamp(stamps, i), i + 1 < samples ? read_stamp(stamps, i + 1) : T{},
            cache,  0};
  }
  return {stamps, window.first + k, cache[max(k, 0)], cache[k + 1], cache + k, window.count - k};
}

/// Whether sample i + 1 is known to share its stamp with no later one.
template <class T>
__device__ __forceinline__ bool next_is_last_alike(const Neighbours<T>& near, std::int64_t samples) {
  return near.i + 2 >= samples || (near.left > 2 && near.cached[2] != near.after);
}

/// What `place` says of most targets, in far fewer instructions: of those on a sample, between two, and, where
/// `clamps`, beyond the ends. False: ask `place`.
template <class T>
__device__ __forceinline__ bool place_common(const Neighbours<T>& near, std::int64_t samples, T target, bool clamps,
                                             const PlaceOptions& options, Placement& p) {
  if (samples == 0) return false;
  const bool leads = near.i < 0;
  if (!(leads ? target < near.after : near.before <= target)) return false;  // NaN
  const bool exact = !leads && near.before == target;
  if (!leads && !exact && near.i + 1 < samples) {
    if (!(target < near.after)) return false;
    p = place_between(near.i, near.i + 1, near.before, near.after, target, options);
    return p.index == near.i || next_is_last_alike(near, samples);
  }
  const bool holds = !leads && options.interp == Interp::hold;
  if (!exact && !holds && !clamps) return false;
  p.store = Placement::Store::copy;
  p.index = leads ? 0 : near.i;
  p.age_ns = Clock<T>::age_ns(target, leads ? near.after : near.before);
  p.valid = exact || (holds && !exceeds(target, near.before, options.max_age_ns));
  return true;
}

/// One stamp of each thread, evenly over the window.
template <int Threads, class T>
__device__ __forceinline__ T probe(const Stamps<T>& stamps, const Window& window) {
  const std::int64_t stride = (window.end - window.first + Threads - 1) / Threads;
  return stamps(min(window.first + threadIdx.x * stride, window.end - 1));
}

/// Narrows the window to the samples that targets in [earliest, latest] need; called by every thread of the block.
template <int Threads, class T>
__device__ __forceinline__ void narrow(const Stamps<T>& stamps, T earliest, T latest, Window& window) {
  while (true) {
    const T stamp = probe<Threads>(stamps, window);
    const std::int64_t length = window.end - window.first;
    const std::int64_t stride = (length + Threads - 1) / Threads;
    const bool probes = threadIdx.x * stride < length;
    const int before = __syncthreads_count(probes && stamp <= earliest);
    const int until = __syncthreads_count(probes && stamp <= latest);
    window.end = min(window.end, window.first + until * stride + 1);
    window.first += max(before - 1, 0) * stride;
    if (window.end - window.first <= kAlignWindow || 2 * (window.end - window.first) > length) return;
  }
}

/// Puts behind `count` stamps what a search looks at there.
template <int Threads, class T>
__device__ __forceinline__ void pad_cache(int count, T* cache) {
  constexpr T kLast =
      std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
#pragma unroll 1
  for (int at = count + static_cast<int>(threadIdx.x); at <= searched(count); at += Threads) cache[at] = kLast;
}

/// Copies the window's stamps, and pads them for the search; called by every thread of the block. All loads leave before the
/// first store.
template <int Threads, class T>
__device__ __forceinline__ void fill_cache(const Stamps<T>& stamps, const Window& window, T* cache) {
  constexpr int kPerThread = (kAlignWindow + 1) / Threads;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t step = window.stride * stamps.row;
  const char* from = stamps.data + window.first * stamps.row + thread * step;
  T read[kPerThread];
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    if (k * Threads + thread < window.count) read[k] = __ldg(reinterpret_cast<const T*>(from));
    from += Threads * step;
  }
  pad_cache<Threads>(window.count, cache);
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    const int at = k * Threads + thread;
    if (at < window.count) cache[at] = Clock<T>::sum(read[k], stamps.shift);
  }
}

}  // namespace robocache::cuda
