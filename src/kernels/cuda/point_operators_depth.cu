#include <limits>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/point_operators_clouds.cuh"
#include "kernels/point_operators.hpp"

namespace robocache::cuda {

namespace {

constexpr int kWarps = 8;

/// With fewer pixels more of the time goes into what they have in common.
template <class C>
using Tile = WarpTile<C, 3>;

struct DepthCall {
  DepthToPointsArgs args;
  std::int64_t tiles = 0;         ///< of all images
  std::int64_t tiles_of_row = 0;  ///< side by side: all pixels of one have v, camera and transform in common
};

/// A warp for each tile.
template <class T, class C>
__global__ void __launch_bounds__(32 * kWarps, sizeof(C) == sizeof(float) ? 4 : 3)
    unproject(const __grid_constant__ DepthCall call) {
  start_next();
  await_earlier();
  __shared__ Tile<C> tiles[kWarps];
  const DepthToPointsArgs& args = call.args;
  const unsigned warp = threadIdx.x / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t n = std::int64_t{blockIdx.x} * kWarps + warp;
  if (n >= call.tiles) return;
  const std::int64_t row = quotient(n, call.tiles_of_row);
  const std::int64_t image = quotient(row, args.height);
  const std::int64_t v = row - image * args.height;
  const std::int64_t first = (n - row * call.tiles_of_row) * Tile<C>::kRows;  // u of the tile
  const auto pixels = static_cast<int>(min(std::int64_t{Tile<C>::kRows}, args.width - first));
  const T* const from = static_cast<const T*>(args.depth.data) + image * args.depth.batch + v * args.depth.row;
  constexpr int kEach = Tile<C>::kRows / 32;
  T depth[kEach];  // All are on their way before the first is needed.
#pragma unroll
  for (int k = 0; k < kEach; ++k) {
    if (k * 32 + lane < pixels) depth[k] = from[(first + k * 32 + lane) * args.depth.column];
  }
  const bool moves = args.transforms.data != nullptr;
  Affine<C> affine;
  if (moves) affine = transform_of_warp<C>(args.transforms, image);
  const Pinhole<C> camera = args.camera<C>(image);
  const C slope_y = camera.slope_y(static_cast<C>(v));
  const C scale = static_cast<C>(args.depth_scale);
  const C most_m = min(static_cast<C>(args.max_depth_m), std::numeric_limits<C>::max());
  const std::int64_t to = row * args.width + first;
#pragma unroll
  for (int k = 0; k < kEach; ++k) {
    const int pixel = k * 32 + lane;
    if (pixel >= pixels) break;
    const C z = widened<C>(depth[k]) * scale;
    const bool valid = is_depth(z, most_m);
    constexpr C nan = std::numeric_limits<C>::quiet_NaN();
    Point<C> p{camera.slope_x(static_cast<C>(static_cast<std::int32_t>(first) + pixel)) * z, slope_y * z, z};
    if (moves) p = affine(p);
    tiles[warp].set(pixel, valid ? p : Point<C>{nan, nan, nan});
    if (args.valid != nullptr) args.valid[to + pixel] = valid;
  }
  tiles[warp].store(static_cast<C*>(args.points) + 3 * to, pixels);
}

}  // namespace

void depth_to_points(const DepthToPointsArgs& args, const Context& ctx) {
  visit_depth_type(args.depth.dtype, [&]<class T, class C>() {
    DepthCall call{.args = args, .tiles_of_row = (args.width + Tile<C>::kRows - 1) / Tile<C>::kRows};
    call.tiles = args.images * args.height * call.tiles_of_row;
    const dim3 blocks(static_cast<unsigned>((call.tiles + kWarps - 1) / kWarps));
    launch("depth_to_points", unproject<T, C>, blocks, 32 * kWarps, ctx.stream, call, Start::early);
  });
}

}  // namespace robocache::cuda
