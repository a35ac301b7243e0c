#include <limits>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/point_operators_clouds.cuh"
#include "kernels/point_operators.hpp"

namespace robocache::cuda {

namespace {

constexpr int kWarps = 8;

struct MoveArgs {
  CloudRows clouds;
  Transforms transforms;
  RowPlaces from_places, to_places;
  const void* from;
  void* to;
};

/// A warp for each tile: all of it is read before it is written, so that the points may be moved in place.
template <class T, class C>
__global__ void __launch_bounds__(32 * kWarps) move_points(const __grid_constant__ MoveArgs args) {
  start_next();
  await_earlier();
  using Tile = WarpTile<T>;
  __shared__ Tile tiles[kWarps];
  const unsigned warp = threadIdx.x / 32;
  const std::int64_t first = (std::int64_t{blockIdx.x} * kWarps + warp) * Tile::kRows;
  const auto rows = static_cast<int>(min(std::int64_t{Tile::kRows}, args.clouds.rows - first));
  if (rows <= 0) return;
  Tile& tile = tiles[warp];
  tile.load(static_cast<const T*>(args.from), args.from_places, first, rows);
  constexpr C nan = std::numeric_limits<C>::quiet_NaN();
  CloudCursor cursor(args.clouds, first);
  CloudTransform<C> transform;
  for (int row = static_cast<int>(threadIdx.x % 32); row < rows; row += 32) {
    const std::int64_t cloud = cursor.cloud_at(row);
    tile.set(row,
             cloud >= 0 ? transform.of(args.transforms, cloud)(tile.template at<C>(row)) : Point<C>{nan, nan, nan});
  }
  tile.store(static_cast<T*>(args.to), args.to_places, first, rows);
}

}  // namespace

void transform_points(const TransformPointsArgs& args, const Context& ctx) {
  const PointRows& from = args.clouds.points;
  const PointRows to{args.out, from.dtype, args.out_batch, args.out_row, args.out_column};
  const MoveArgs call{.clouds = CloudRows(args.clouds),
                      .transforms = args.clouds.transforms,
                      .from_places = RowPlaces(from, args.clouds),
                      .to_places = RowPlaces(to, args.clouds),
                      .from = from.data,
                      .to = args.out};
  visit_element_type(from.dtype, [&]<class T, class C>() {
    constexpr std::int64_t each = kWarps * WarpTile<T>::kRows;
    const dim3 blocks(static_cast<unsigned>((call.clouds.rows + each - 1) / each));
    launch("transform_points", move_points<T, C>, blocks, 32 * kWarps, ctx.stream, call, Start::early);
  });
}

}  // namespace robocache::cuda
