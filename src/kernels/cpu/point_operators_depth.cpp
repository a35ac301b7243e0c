#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/thread_pool.hpp"
#include "kernels/cpu/point_operators_block.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

/// Depth of type T to points of compute type C, row by row.
template <class T, class C>
class Unprojection {
 public:
  explicit Unprojection(const DepthToPointsArgs& args)
      : args_(args),
        scale_(static_cast<C>(args.depth_scale)),
        most_m_(std::min(static_cast<C>(args.max_depth_m), std::numeric_limits<C>::max())) {}

  /// Row v of image b.
  void row(std::int64_t b, std::int64_t v) const {
    const Pinhole<C> camera = args_.camera<C>(b);
    const bool moves = args_.transforms.data != nullptr;
    Affine<C> affine;
    if (moves) affine = args_.transforms.at<C>(b);
    const T* const depth = static_cast<const T*>(args_.depth.data) + b * args_.depth.batch + v * args_.depth.row;
    const std::int64_t first = (b * args_.height + v) * args_.width;
    PointBlock<C> block;
    bool valid[PointBlock<C>::kPoints];
    for (std::int64_t u = 0; u < args_.width; u += block.kPoints) {
      block.count = std::min(block.kPoints, args_.width - u);
      load_depth(depth + u * args_.depth.column, block);
      unproject(camera, u, v, block, valid);
      if (moves) block.transform(affine);
      block.store(static_cast<C*>(args_.points) + 3 * (first + u), 3, 1);
      if (args_.valid != nullptr) std::copy_n(valid, block.count, args_.valid + first + u);
    }
  }

 private:
  void load_depth(const T* from, PointBlock<C>& block) const {
    const std::int64_t column = args_.depth.column;
    if (column == 1) {
      widen_row(from, block.count, block.z);
    } else {
      for (std::int64_t i = 0; i < block.count; ++i) block.z[i] = widened<C>(from[i * column]);
    }
  }

  /// What is not valid becomes NaN in z, and so in every number that is computed from it.
  void unproject(const Pinhole<C>& camera, std::int64_t u, std::int64_t v, PointBlock<C>& block, bool* valid) const {
    const Pinhole<C> pinhole = camera;
    const C slope_y = pinhole.slope_y(static_cast<C>(v));
    const C scale = scale_, most_m = most_m_;
    for (std::int64_t i = 0; i < block.count; ++i) {
      const C metres = block.z[i] * scale;
      valid[i] = is_depth(metres, most_m);
      const C z = valid[i] ? metres : std::numeric_limits<C>::quiet_NaN();
      block.set(i, {pinhole.slope_x(static_cast<C>(static_cast<std::int32_t>(u + i))) * z, slope_y * z, z});
    }
  }

  const DepthToPointsArgs& args_;
  C scale_, most_m_;
};

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void depth_to_points<Isa::ROBOCACHE_ISA>(const DepthToPointsArgs& args, const Context& ctx) {
  using namespace ROBOCACHE_ISA;
  constexpr std::int64_t pixels = 8192;  // of a task
  visit_depth_type(args.depth.dtype, [&]<class T, class C>() {
    const Unprojection<T, C> unprojection(args);
    const std::int64_t grain = 1 + pixels / args.width;
    parallel_for(args.images * args.height, grain, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) unprojection.row(i / args.height, i % args.height);
    });
  });
}

}  // namespace robocache::cpu
