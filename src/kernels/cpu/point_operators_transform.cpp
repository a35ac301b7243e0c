#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/thread_pool.hpp"
#include "kernels/cpu/point_operators_block.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

template <class T, class C>
void transform_piece(const TransformPointsArgs& args, const Piece& piece) {
  PointBlock<C> block;
  T* out = static_cast<T*>(args.out) + piece.base * args.out_batch;
  Affine<C> affine;
  if (piece.cloud >= 0) affine = args.clouds.transforms.at<C>(piece.cloud);
  for (std::int64_t n = piece.begin; n < piece.end; n += block.kPoints) {
    const std::int64_t points = std::min(block.kPoints, piece.end - n);
    if (piece.cloud >= 0) {
      block.template load<T>(args.clouds.points, piece.base, n, points);
      block.transform(affine);
    } else {
      block.fill(std::numeric_limits<C>::quiet_NaN(), points);
    }
    block.store(out + n * args.out_row, args.out_row, args.out_column);
  }
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void transform_points<Isa::ROBOCACHE_ISA>(const TransformPointsArgs& args, const Context& ctx) {
  using namespace ROBOCACHE_ISA;
  const Pieces pieces(args.clouds, true, ctx);
  visit_element_type(args.clouds.points.dtype, [&]<class T, class C>() {
    parallel_for(pieces.size(), pieces.grain(), ctx.threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) transform_piece<T, C>(args, pieces.begin()[i]);
    });
  });
}

}  // namespace robocache::cpu
