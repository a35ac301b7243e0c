#include <algorithm>
#include <cstdint>
#include <limits>
#include <mutex>

#include "kernels/cpu/voxelize_chunks.hpp"
#include "kernels/voxelize_sparse.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

/// The span of one chunk's points, added to that of all when it ends.
template <class C>
class ChunkSpan {
 public:
  ChunkSpan(const VoxelAxes<C>& axes, VoxelSpan& all, std::mutex& mutex) : axes_(axes), all_(all), mutex_(mutex) {}
  ChunkSpan(const ChunkSpan&) = delete;
  ChunkSpan& operator=(const ChunkSpan&) = delete;
  // Which voxel never falls where a coordinate grows: the ends of the points are in the ends of the voxels.
  ~ChunkSpan() {
    const std::lock_guard lock(mutex_);
    const auto add = [this](int i, const VoxelAxis<C>& axis, const Ends& ends) {
      all_.low[i] = std::min(all_.low[i], static_cast<double>(axis.at(*std::min_element(ends.low, ends.low + kLanes))));
      all_.high[i] =
          std::max(all_.high[i], static_cast<double>(axis.at(*std::max_element(ends.high, ends.high + kLanes))));
    };
    add(0, axes_.x, x_);
    add(1, axes_.y, y_);
    add(2, axes_.z, z_);
  }

  void operator()(std::int64_t /*first*/, const PointBlock<C>& block) {
    std::int64_t i = 0;
    for (; i + kLanes <= block.count; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) add(lane, block.at(i + lane));
    }
    for (; i < block.count; ++i) add(0, block.at(i));
  }

 private:
  static constexpr int kLanes = 16;
  static constexpr C kFar = std::numeric_limits<C>::infinity();

  /// As many as a vector has lanes: one pair would be a chain through all points.
  struct Ends {
    C low[kLanes], high[kLanes];
    Ends() {
      std::fill_n(low, kLanes, kFar);
      std::fill_n(high, kLanes, -kFar);
    }
    void add(int lane, bool finite, C v) {
      low[lane] = finite & (v < low[lane]) ? v : low[lane];
      high[lane] = finite & (v > high[lane]) ? v : high[lane];
    }
  };

  void add(int lane, const Point<C>& p) {
    const bool finite = (p.x - p.x) + (p.y - p.y) + (p.z - p.z) == C{0};
    x_.add(lane, finite, p.x);
    y_.add(lane, finite, p.y);
    z_.add(lane, finite, p.z);
  }

  VoxelAxes<C> axes_;
  VoxelSpan& all_;
  std::mutex& mutex_;
  Ends x_, y_, z_;
};

VoxelSpan voxel_span(const VoxelizeArgs& args, const Context& ctx) {
  constexpr double far = std::numeric_limits<double>::infinity();
  VoxelSpan span{{far, far, far}, {-far, -far, -far}};
  std::mutex mutex;
  const PointChunks chunks(args, 4 << 10, ctx);
  chunks.over([&](const Chunk& chunk) {
    chunks.visit_blocks(chunk, [&]<class C>() { return ChunkSpan<C>(args.axes<C>(), span, mutex); });
  });
  return span;
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
VoxelSpan voxel_span<Isa::ROBOCACHE_ISA>(const VoxelizeArgs& args, const Context& ctx) {
  return ROBOCACHE_ISA::voxel_span(args, ctx);
}

}  // namespace robocache::cpu
