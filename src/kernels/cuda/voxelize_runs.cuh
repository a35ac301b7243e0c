#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/cuda/voxelize_order.hpp"
#include "kernels/cuda/voxelize_points.cuh"
#include "math/convert.hpp"

// Features of runs: a run is the sorted points of one voxel. Sums are in the order that Reduce::sum states.
namespace robocache::cuda {

/// What becomes of the features of a run.
enum class Gather : std::uint8_t { sum, extreme, copy, place };  // place: which point has the extreme

inline Gather gather_of(Reduce reduce) {
  if (reduce == Reduce::sum || reduce == Reduce::mean) return Gather::sum;
  return reduce == Reduce::min || reduce == Reduce::max ? Gather::extreme : Gather::copy;
}

struct RunArgs {
  SortedPoints sorted;
  PointRows rows;
  std::uint32_t samples = 0;  ///< N where batches of rows have a pitch of their own; else 0
  std::uint32_t columns = 0;
  Reduce reduce = Reduce::sum;
  std::uint32_t most = std::numeric_limits<std::uint32_t>::max();  ///< points of a run that count
  void* chunks = nullptr;  ///< of long runs: [window][2][columns] of what is kept of a run, as voxelize_chunks.cu says
};

/// A value, and the sorted point that has it.
template <class C>
struct Placed {
  C value;
  std::uint32_t place;
};

/// What is kept of a column of a chunk.
template <class C, Gather kGather>
using Kept = std::conditional_t<kGather == Gather::place, Placed<C>, C>;

/// kWidth elements that are loaded and stored at once.
template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Elements {
  T at[kWidth];
};

/// Where the features of a point from `column` on are. `kFlat` says that args.samples is 0.
template <class T, bool kFlat>
__device__ const T* row_of(const RunArgs& args, std::uint32_t point, std::uint32_t column) {
  const T* const row = static_cast<const T*>(args.rows.data) + column * args.rows.column;
  if constexpr (kFlat) return row + point * args.rows.row;
  return row + point / args.samples * args.rows.batch + point % args.samples * args.rows.row;
}

/// The features from `column` on of sorted point i.
template <class T, int kWidth, bool kFlat>
__device__ Elements<T, kWidth> features_at(const RunArgs& args, std::uint32_t i, std::uint32_t column) {
  return *reinterpret_cast<const Elements<T, kWidth>*>(row_of<T, kFlat>(args, args.sorted.order[i], column));
}

/// The features from `column` on of the point at a place of [B, N].
template <class T, int kWidth>
__device__ Elements<T, kWidth> elements_at(const RunArgs& args, std::uint32_t place, std::uint32_t column) {
  const T* const row = args.samples == 0 ? row_of<T, true>(args, place, column) : row_of<T, false>(args, place, column);
  return *reinterpret_cast<const Elements<T, kWidth>*>(row);
}

/// Values of kWidth columns on their way through a run.
template <class C, int kWidth, Gather kGather>
struct Accumulator {
  C at[kWidth];
  std::uint32_t place[kGather == Gather::place ? kWidth : 1];  ///< the sorted point that has it
  bool least;

  /// `first` is the first of the sorted points to come.
  __device__ Accumulator(Reduce reduce, std::uint32_t first) : least(reduce == Reduce::min) {
    constexpr C inf = std::numeric_limits<C>::infinity();
    for (C& value : at) value = kGather == Gather::sum ? C{0} : least ? inf : -inf;
    for (std::uint32_t& i : place) i = first;
  }

  /// The feature `v` of sorted point i.
  __device__ void add(int d, C v, [[maybe_unused]] std::uint32_t i) {
    if constexpr (kGather == Gather::sum) {
      at[d] = at[d] + v;
    } else {
      const bool wins = beats(v, at[d], least);
      at[d] = wins ? v : at[d];
      if constexpr (kGather == Gather::place) place[d] = wins ? i : place[d];
    }
  }

  __device__ void add(int d, const Kept<C, kGather>& chunk) {
    if constexpr (kGather == Gather::place) {
      add(d, chunk.value, chunk.place);
    } else {
      add(d, chunk, 0);
    }
  }

  __device__ void set(int d, const Kept<C, kGather>& chunk) {
    if constexpr (kGather == Gather::place) {
      at[d] = chunk.value;
      place[d] = chunk.place;
    } else {
      at[d] = chunk;
    }
  }

  [[nodiscard]] __device__ Kept<C, kGather> kept(int d) const {
    if constexpr (kGather == Gather::place) {
      return {at[d], place[d]};
    } else {
      return at[d];
    }
  }

  /// The features of sorted point i.
  template <class T>
  __device__ void add_row(const Elements<T, kWidth>& from, std::uint32_t i) {
#pragma unroll
    for (int d = 0; d < kWidth; ++d) add(d, widened<C>(from.at[d]), i);
  }

  /// What a run of `points` points comes to, at least one.
  template <class T>
  [[nodiscard]] __device__ Elements<T, kWidth> result(Reduce reduce, std::uint32_t points) const {
    Elements<T, kWidth> out;
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      const bool divides = reduce == Reduce::mean && points > 1;  // A sum of one point is its mean.
      out.at[d] = narrowed<T>(divides ? at[d] / static_cast<C>(points) : at[d]);
    }
    return out;
  }

  /// Sorted points [begin, begin + points), in order; kAhead of them are loaded before the first is added.
  template <class T, int kAhead>
  __device__ void add_points(const RunArgs& args, std::uint32_t begin, std::uint32_t points, std::uint32_t column) {
    if (args.samples == 0) {  // Asked here: a branch in the loop would keep loads from going ahead.
      add_rows<T, kAhead, true>(args, begin, points, column);
    } else {
      add_rows<T, kAhead, false>(args, begin, points, column);
    }
  }

 private:
  template <class T, int kAhead, bool kFlat>
  __device__ void add_rows(const RunArgs& args, std::uint32_t begin, std::uint32_t points, std::uint32_t column) {
    std::uint32_t i = 0;
    for (; i + kAhead <= points; i += kAhead) {
      Elements<T, kWidth> from[kAhead];
#pragma unroll
      for (int k = 0; k < kAhead; ++k) from[k] = features_at<T, kWidth, kFlat>(args, begin + i + k, column);
#pragma unroll
      for (int k = 0; k < kAhead; ++k) add_row(from[k], begin + i + k);
    }
    for (; i < points; ++i) add_row(features_at<T, kWidth, kFlat>(args, begin + i, column), begin + i);
  }
};

/// Blocks of 256 threads on a processor that reduce runs; for more of them there would be too few registers.
template <class T>
inline constexpr int kBlocks = sizeof(T) == sizeof(float) ? 6 : 4;

/// Where the chunk of the run that begins in a window is kept (`begins`), or of the run that began before.
template <class K>
__device__ K* chunk_at(const RunArgs& args, std::uint32_t window, bool begins) {
  return static_cast<K*>(args.chunks) + (std::uint64_t{2} * window + (begins ? 1 : 0)) * args.columns;
}

/// Whether rows and results can be read and written 16 bytes at a time.
inline bool has_vectors(const RunArgs& args, const void* out) {
  const auto size = static_cast<std::int64_t>(size_of(args.rows.dtype));
  const auto fits = [](std::int64_t bytes) { return bytes % std::int64_t{sizeof(uint4)} == 0; };
  return args.rows.column == 1 && fits(args.columns * size) && fits(args.rows.row * size) &&
         (args.samples == 0 || fits(args.rows.batch * size)) && fits(reinterpret_cast<std::intptr_t>(args.rows.data)) &&
         fits(reinterpret_cast<std::intptr_t>(out));
}

/// run.operator()<T, C, kWidth, kGather>() as `args` needs it.
template <class F>
void with_run_types(const RunArgs& args, const void* out, const F& run) {
  visit_element_type(args.rows.dtype, [&]<class T, class C>() {
    const auto with_width = [&]<Gather kGather>() {
      if (has_vectors(args, out)) return run.template operator()<T, C, sizeof(uint4) / sizeof(T), kGather>();
      run.template operator()<T, C, 1, kGather>();
    };
    const Gather gather = gather_of(args.reduce);
    if (gather == Gather::sum) return with_width.template operator()<Gather::sum>();
    if (gather == Gather::extreme) return with_width.template operator()<Gather::extreme>();
    with_width.template operator()<Gather::copy>();
  });
}

/// Bytes of RunArgs::chunks for reduce_long_runs(), or for place_long_runs() (`placed`).
std::size_t chunk_bytes(std::uint32_t points, std::int64_t columns, DType dtype, bool placed);

/// Fills RunArgs::chunks where a run can be longer than a chunk. Launches nothing for Gather::copy.
void reduce_long_runs(const RunArgs& args, void* stream);

/// Does that with the places of the extremes of min or max.
void place_long_runs(const RunArgs& args, void* stream);

/// `rows` of the points of a call, as runs see them.
inline RunArgs run_args(const SortedPoints& sorted, const VoxelizeArgs& args, const PointRows& rows,
                        std::int64_t columns) {
  const bool flat = args.offsets.data != nullptr || args.clouds == 1 || rows.batch == args.samples * rows.row;
  return {.sorted = sorted,
          .rows = rows,
          .samples = flat ? 0 : static_cast<std::uint32_t>(args.samples),
          .columns = static_cast<std::uint32_t>(columns)};
}

}  // namespace robocache::cuda
