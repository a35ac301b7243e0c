#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/thread_pool.hpp"
#include "kernels/cpu/point_operators_block.hpp"
#include "kernels/voxelize.hpp"
#include "memory/buffer.hpp"

// The points of all clouds, cut into pieces of which threads take one after the other.
namespace robocache::cpu::ROBOCACHE_ISA {

inline MemoryResource& scratch_memory(const Context& ctx) {
  return ctx.scratch != nullptr ? *ctx.scratch : host_memory();
}

inline std::int64_t workers(const Context& ctx) { return ctx.threads > 0 ? ctx.threads : processor_count(); }

/// An array of scratch memory; zeroed by whoever needs that.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  Scratch(MemoryResource& memory, std::int64_t count) : buffer_(memory, static_cast<std::size_t>(count) * sizeof(T)) {}
  [[nodiscard]] T* data() const { return static_cast<T*>(buffer_.data()); }
  T& operator[](std::int64_t i) const { return data()[i]; }

 private:
  Buffer buffer_;
};

/// Clouds [first, last) of a batch.
struct CloudGroup {
  std::int64_t first, last;
};

/// Points of one cloud that one thread handles.
struct Chunk {
  std::int64_t cloud, number;  ///< within the group
  std::int64_t begin, end;     ///< within the cloud
};

class PointChunks {
 public:
  struct Cloud {
    CloudRange range;
    std::int64_t first_point;  ///< among the points of the group
    std::int64_t first_chunk;
  };

  /// Chunks of `least` points or more, of all clouds.
  PointChunks(const VoxelizeArgs& args, std::int64_t least, const Context& ctx)
      : PointChunks(args, {0, args.clouds}, least, ctx) {}

  PointChunks(const VoxelizeArgs& args, CloudGroup group, std::int64_t least, const Context& ctx)
      : args_(args),
        first_(group.first),
        count_(group.last - group.first),
        threads_(ctx.threads),
        clouds_(scratch_memory(ctx), count_ + 1) {
    std::int64_t all = 0;
    for (std::int64_t b = 0; b < count_; ++b) {
      const CloudRange range = cloud_range(args, first_ + b);
      clouds_[b] = {range, all, 0};
      all += range.end - range.begin;
    }
    const std::int64_t pieces = most_pieces(ctx);
    size_ = std::max(least, (all + pieces - 1) / pieces);
    std::int64_t chunks = 0;
    for (std::int64_t b = 0; b < count_; ++b) {
      clouds_[b].first_chunk = chunks;
      chunks += (clouds_[b].range.end - clouds_[b].range.begin + size_ - 1) / size_;
    }
    clouds_[count_] = {{}, all, chunks};
  }

  /// Chunks are no more than these and the clouds.
  static std::int64_t most_pieces(const Context& ctx) { return 4 * workers(ctx); }

  /// Of cloud b of the group; one more than there are says where all end.
  const Cloud& operator[](std::int64_t b) const { return clouds_[b]; }
  [[nodiscard]] std::int64_t points() const { return clouds_[count_].first_point; }
  [[nodiscard]] std::int64_t count() const { return clouds_[count_].first_chunk; }
  /// Pieces that over_pieces() cuts.
  [[nodiscard]] std::int64_t pieces() const { return (points() + size_ - 1) / size_; }
  [[nodiscard]] int threads() const { return threads_; }

  /// body(Chunk) for all of them, by many threads.
  template <class F>
  void over(const F& body) const {
    parallel_for(count(), 1, threads_, [&](std::int64_t first, std::int64_t last) {
      const Cloud* const after =
          std::upper_bound(clouds_.data(), clouds_.data() + count_ + 1, first,
                           [](std::int64_t chunk, const Cloud& cloud) { return chunk < cloud.first_chunk; });
      std::int64_t b = after - clouds_.data() - 1;
      for (std::int64_t number = first; number < last; ++number) {
        while (clouds_[b + 1].first_chunk <= number) ++b;
        const std::int64_t begin = (number - clouds_[b].first_chunk) * size_;
        const std::int64_t points = clouds_[b + 1].first_point - clouds_[b].first_point;
        body(Chunk{b, number, begin, std::min(begin + size_, points)});
      }
    });
  }

  /// body(piece, begin, end) for pieces of `all` entries, points() at most, whatever clouds they are of: chunks of tiny
  /// clouds would need as many counters as there are clouds.
  template <class F>
  void over_pieces(std::int64_t all, const F& body) const {
    const std::int64_t step = (all + pieces() - 1) / std::max<std::int64_t>(pieces(), 1);
    parallel_for(pieces(), 1, threads_, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t piece = first; piece < last; ++piece) {
        body(piece, std::min(piece * step, all), std::min((piece + 1) * step, all));
      }
    });
  }

  /// Calls what `make.operator()<C>()` returns for the points of a chunk, some at a time: (the number of the first in the
  /// cloud, the PointBlock<C> of them, transformed).
  template <class Make>
  void visit_blocks(const Chunk& chunk, const Make& make) const {
    visit_element_type(args_.points.dtype, [&]<class T, class C>() {
      auto f = make.template operator()<C>();
      const CloudRange range = clouds_[chunk.cloud].range;
      const bool moves = args_.transforms.data != nullptr;
      Affine<C> affine;
      if (moves) affine = args_.transforms.template at<C>(first_ + chunk.cloud);
      PointBlock<C> block{};  // Vectors are read to their end.
      for (std::int64_t n = chunk.begin; n < chunk.end; n += block.kPoints) {
        block.template load<T>(args_.points, range.base, range.begin + n, std::min(block.kPoints, chunk.end - n));
        if (moves) block.transform(affine);
        f(n, std::as_const(block));
      }
    });
  }

 private:
  const VoxelizeArgs& args_;
  std::int64_t first_;  ///< cloud of the group
  std::int64_t count_;
  int threads_;
  Scratch<Cloud> clouds_;
  std::int64_t size_ = 0;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
