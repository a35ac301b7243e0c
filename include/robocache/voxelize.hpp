#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <robocache/context.hpp>
#include <robocache/error.hpp>
#include <robocache/tensor.hpp>

namespace robocache {

inline constexpr std::int64_t kMostVoxelsOfAxis = std::int64_t{1} << 24;  ///< each of them is a whole number of f32

/// Boxes side by side: voxel i of an axis holds the coordinates p with i = floor((p - origin) * (1 / voxel_m)), computed in that
/// order in the compute type: f64 for f64 points, else f32. Points outside [0, shape) or not finite are in no voxel.
struct VoxelGrid {
  double origin[3] = {0, 0, 0};       ///< m: the low corner of voxel (0, 0, 0)
  double voxel_m[3] = {1, 1, 1};      ///< m: 1.2e-38 to 8.5e37
  std::int64_t shape[3] = {1, 1, 1};  ///< X, Y, Z voxels; each 0 to 2^24
};

/// What becomes of the points of one voxel.
enum class Reduce : std::uint8_t {
  count,           ///< how many
  occupancy,       ///< whether any
  occupancy_bits,  ///< whether any, a bit a voxel: bit z % 8 of byte z / 8, as numpy.packbits(bitorder="little") along
                   ///< z
  sum,             ///< of their features: 256 at a time in the order of the points from +0, then those sums in order
  mean,            ///< that sum over the count
  min,             ///< per feature; of equal ones (+0 and -0) the first point's; NaN where any is NaN
  max,
  first,  ///< the features of the first point
  last,   ///< of the last
};

/// All but count, occupancy and occupancy_bits.
constexpr bool needs_features(Reduce reduce) noexcept { return reduce >= Reduce::sum; }

constexpr std::string_view name(Reduce reduce) noexcept {
  constexpr std::string_view names[] = {"count", "occupancy", "occupancy_bits", "sum", "mean",
                                        "min",   "max",       "first",          "last"};
  return names[static_cast<std::size_t>(reduce)];
}

/// Points of one cloud or of B clouds, each with F features.
struct Clouds {
  ConstTensor points{};     ///< [N, 3], or [B, N, 3]; f16|bf16|f32|f64 m; any strides
  ConstTensor features{};   ///< [N, F], or [B, N, F]; f16|bf16|f32|f64; not given: count and occupancy only
  ConstTensor lengths{};    ///< [B] i32|i64, with [B, N, 3]: points that cloud b has; the others are not read
  ConstTensor offsets{};    ///< [B + 1] i32|i64, with [N, 3]: cloud b is points offsets[b] to offsets[b + 1]
  ConstTensor transform{};  ///< [4, 4] or [B, 4, 4] f32|f64: T_grid_points, applied first; its last row is not read
};

/// One result, laid out [B, X, Y, Z] or [B, X, Y, Z, F] and contiguous, without B for a single cloud.
struct Voxels {
  Reduce reduce = Reduce::count;
  Tensor out{};      ///< count: i32; occupancy: bool|u8; occupancy_bits: u8 [B, X, Y, ceil(Z / 8)]; others: as features
  double empty = 0;  ///< written to voxels without points; not for count and occupancy
};

inline constexpr std::int64_t kNoMemoryLimit = std::numeric_limits<std::int64_t>::max();

/// How voxelize runs.
struct VoxelizeOptions {
  std::int64_t max_scratch = kNoMemoryLimit;  ///< bytes: clouds are computed some at a time where all would take more
};

/// Puts points into a grid of voxels. The same bits in every run, on every device and with any number of threads.
/// Outputs must overlap neither inputs nor each other. A count wraps beyond 2^31 - 1. On CUDA the aligned 4-byte words that
/// hold occupancy_bits are rewritten; what else is in them keeps its value.
///   dropped  [B], or [] for a single cloud; i64: points of the cloud that are in no voxel; may be not given
/// Runs on points.device, ordered on ctx.stream; returns before the GPU is done; takes scratch: on the CPU what
/// plan_memory says; on CUDA none for counts and occupancy, for the others 16 bytes a point (24 where there are 2^32 voxels
/// in all clouds), and 1 % of their features as f32 (f64 for f64). On CUDA a call can be captured in a graph.
/// Throws InvalidArgument (shape, dtype, device, on the CPU lengths and offsets out of range), Unsupported (dtype; on
/// CUDA reductions of features of more than 2^31 - 1 points, or of more than 2^24 columns), OutOfMemory (also where the
/// least that a call takes is more than the limit; nothing is computed then).
void voxelize(const Clouds& clouds, const VoxelGrid& grid, std::span<const Voxels> voxels, const Tensor& dropped,
              const VoxelizeOptions& options, const Context& ctx = {});
void voxelize(const Clouds& clouds, const VoxelGrid& grid, std::span<const Voxels> voxels, const Tensor& dropped,
              const Context& ctx = {});

/// Bytes that a call of voxelize needs.
struct VoxelizeMemory {
  std::int64_t outputs = 0;        ///< the results, `dropped` among them
  std::int64_t scratch = 0;        ///< at most, without a limit; on CUDA just that
  std::int64_t least_scratch = 0;  ///< the least limit: the largest cloud alone; on CUDA all packed ones
};

/// Of the clouds as they are: lengths and offsets are read. On CUDA they are not, nor does it wait: padding counts as
/// points, and packed clouds are computed all at once. Throws as voxelize.
[[nodiscard]] VoxelizeMemory plan_memory(const Clouds& clouds, const VoxelGrid& grid,
                                         std::span<const Reduce> reductions, const Context& ctx = {});

}  // namespace robocache
