#pragma once

#include <algorithm>
#include <cstdint>

#include "core/thread_pool.hpp"
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

/// run<T, C>() with the element type of `dtype` and the type it is computed in.
template <class F>
void visit_element_type(DType dtype, const F& run) {
  visit(dtype, PointDTypes{}, [&]<DType known>() {
    if constexpr (known == DType::f64) {
      run.template operator()<double, double>();
    } else if constexpr (known == DType::f32) {
      run.template operator()<float, float>();
    } else if constexpr (known == DType::f16) {
      run.template operator()<f16, float>();
    } else {
      run.template operator()<bf16, float>();
    }
  });
}

/// Points of one cloud that one thread handles.
struct Chunk {
  std::int64_t cloud, number;
  std::int64_t begin, end;  ///< within the cloud
};

class PointChunks {
 public:
  struct Cloud {
    CloudRange range;
    std::int64_t first_point;  ///< among all clouds' points
    std::int64_t first_chunk;
  };

  /// Chunks of `least` points or more.
  PointChunks(const VoxelizeArgs& args, std::int64_t least, const Context& ctx)
      : args_(args), threads_(ctx.threads), clouds_(scratch_memory(ctx), args.clouds + 1) {
    std::int64_t all = 0;
    for (std::int64_t b = 0; b < args.clouds; ++b) {
      const CloudRange range = cloud_range(args, b);
      clouds_[b] = {range, all, 0};
      all += range.end - range.begin;
    }
    const std::int64_t pieces = 4 * workers(ctx);
    size_ = std::max(least, (all + pieces - 1) / pieces);
    std::int64_t chunks = 0;
    for (std::int64_t b = 0; b < args.clouds; ++b) {
      clouds_[b].first_chunk = chunks;
      chunks += (clouds_[b].range.end - clouds_[b].range.begin + size_ - 1) / size_;
    }
    clouds_[args.clouds] = {{}, all, chunks};
  }

  /// Of cloud b; one more than there are says where all end.
  const Cloud& operator[](std::int64_t b) const { return clouds_[b]; }
  [[nodiscard]] std::int64_t points() const { return clouds_[args_.clouds].first_point; }
  [[nodiscard]] std::int64_t count() const { return clouds_[args_.clouds].first_chunk; }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] int threads() const { return threads_; }

  /// body(Chunk) for all of them, by many threads.
  template <class F>
  void over(const F& body) const {
    parallel_for(count(), 1, threads_, [&](std::int64_t first, std::int64_t last) {
      const Cloud* const after =
          std::upper_bound(clouds_.data(), clouds_.data() + args_.clouds + 1, first,
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

  /// Calls what `make.operator()<C>()` returns for each point of a chunk: (its number in the cloud, the transformed
  /// Point<C>).
  template <class Make>
  void visit_points(const Chunk& chunk, const Make& make) const {
    visit_element_type(args_.points.dtype, [&]<class T, class C>() {
      auto f = make.template operator()<C>();
      if (args_.transforms.data == nullptr) return read<T, C>(chunk, [](const Point<C>& p) { return p; }, f);
      read<T, C>(chunk, args_.transforms.template at<C>(chunk.cloud), f);
    });
  }

 private:
  template <class T, class C, class Map, class F>
  void read(const Chunk& chunk, const Map& map, F& f) const {
    const CloudRange range = clouds_[chunk.cloud].range;
    const PointRows points = args_.points;  // A copy: what `f` writes could else be its pitches.
    for (std::int64_t n = chunk.begin; n < chunk.end; ++n) {
      f(n, map(point_at<T, C>(points, range.base, range.begin + n)));
    }
  }

  const VoxelizeArgs& args_;
  int threads_;
  Scratch<Cloud> clouds_;
  std::int64_t size_ = 0;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
