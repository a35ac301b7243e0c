#include <algorithm>

#include "cuda/launch.hpp"
#include "kernels/voxelize.hpp"

namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr int kPointsPerThread = 4;
constexpr int kOutputs = 4;  ///< of one launch

/// A launch's part of VoxelizeArgs.
struct CountArgs {
  PointRows points;
  IndexList lengths, offsets;
  Transforms transforms;
  VoxelAxes<float> axes;
  VoxelAxes<double> wide_axes;
  std::int64_t samples, clouds, rows, z, bytes_z;
  unsigned long long* dropped;
  unsigned blocks = 1;  ///< of a cloud
  VoxelOutput outputs[kOutputs] = {};
  int output_count = 0;
};

template <class C>
__device__ const VoxelAxes<C>& axes_of(const CountArgs& args) {
  if constexpr (sizeof(C) == sizeof(double)) {
    return args.wide_axes;
  } else {
    return args.axes;
  }
}

/// A cloud's points; what lengths and offsets say beyond the memory that there is, is not followed.
__device__ CloudRange usable_range(const CountArgs& args, std::int64_t cloud) {
  CloudRange range{cloud, 0, args.samples};
  const auto inside = [&](std::int64_t n) { return max(std::int64_t{0}, min(n, args.samples)); };
  if (args.offsets.data != nullptr) {
    range = {0, inside(args.offsets[cloud]), inside(args.offsets[cloud + 1])};
  } else if (args.lengths.data != nullptr) {
    range.end = inside(args.lengths[cloud]);
  }
  return range;
}

__device__ void add(const CountArgs& args, std::int64_t cloud, const VoxelPlace& at) {
  const std::int64_t row = cloud * args.rows + at.row;
  for (int i = 0; i < args.output_count; ++i) {
    void* data = args.outputs[i].data;
    if (args.outputs[i].reduce == Reduce::count) {
      atomicAdd(static_cast<int*>(data) + row * args.z + at.z, 1);
    } else if (args.outputs[i].reduce == Reduce::occupancy) {
      static_cast<std::uint8_t*>(data)[row * args.z + at.z] = 1;  // Whoever comes last writes the same.
    } else {
      const auto byte =
          reinterpret_cast<std::uintptr_t>(data) + static_cast<std::uintptr_t>(row * args.bytes_z + at.z / 8);
      const unsigned bit = at.z % 8 + 8 * (byte % sizeof(unsigned));  // There are no atomics for bytes.
      atomicOr(reinterpret_cast<unsigned*>(byte & ~(sizeof(unsigned) - 1)), 1u << bit);
    }
  }
}

/// The points of one cloud a block at a time.
template <class T, class C>
__global__ void __launch_bounds__(kThreads) voxelize_counts(const CountArgs args) {
  const std::int64_t cloud = blockIdx.x / args.blocks;
  const CloudRange range = usable_range(args, cloud);
  const bool moved = args.transforms.data != nullptr;
  const Affine<C> affine = moved ? args.transforms.template at<C>(cloud) : Affine<C>{};
  int outside = 0;
  const std::int64_t step = std::int64_t{args.blocks} * kThreads;
  for (std::int64_t n = range.begin + std::int64_t{blockIdx.x % args.blocks} * kThreads + threadIdx.x; n < range.end;
       n += step) {
    const Point<C> p = point_at<T, C>(args.points, range.base, n);
    const VoxelPlace at = axes_of<C>(args).place(moved ? affine(p) : p);
    if (at.row >= 0) {
      add(args, cloud, at);
    } else {
      ++outside;
    }
  }
  if (args.dropped == nullptr) return;
  const int of_warp = __reduce_add_sync(~0u, outside);
  if (threadIdx.x % 32 == 0 && of_warp > 0) atomicAdd(&args.dropped[cloud], static_cast<unsigned long long>(of_warp));
}

std::size_t bytes_of(const VoxelizeArgs& args, const VoxelOutput& output) {
  const std::int64_t rows = args.clouds * args.rows();
  if (output.reduce == Reduce::occupancy_bits) return static_cast<std::size_t>(rows * args.bytes_z());
  return static_cast<std::size_t>(rows * args.grid.shape[2]) * (output.reduce == Reduce::count ? sizeof(int) : 1);
}

void clear(void* data, std::size_t bytes, void* stream) {
  if (bytes > 0) check("voxelize", cudaMemsetAsync(data, 0, bytes, static_cast<cudaStream_t>(stream)));
}

void count_points(const VoxelizeArgs& args, CountArgs& part, const Context& ctx) {
  const std::int64_t each = kThreads * kPointsPerThread;
  // Packed clouds: what they have on the average; a larger one takes more rounds.
  const std::int64_t points =
      args.offsets.data != nullptr ? (args.samples + args.clouds - 1) / args.clouds : args.samples;
  const std::int64_t most = std::max<std::int64_t>(1, (std::int64_t{1} << 30) / args.clouds);
  part.blocks = static_cast<unsigned>(std::clamp<std::int64_t>((points + each - 1) / each, 1, most));
  const dim3 grid(part.blocks * static_cast<unsigned>(args.clouds));
  visit(args.points.dtype, PointDTypes{}, [&]<DType dtype>() {
    if constexpr (dtype == DType::f64) {
      launch("voxelize", voxelize_counts<double, double>, grid, kThreads, ctx.stream, part);
    } else if constexpr (dtype == DType::f32) {
      launch("voxelize", voxelize_counts<float, float>, grid, kThreads, ctx.stream, part);
    } else if constexpr (dtype == DType::f16) {
      launch("voxelize", voxelize_counts<f16, float>, grid, kThreads, ctx.stream, part);
    } else {
      launch("voxelize", voxelize_counts<bf16, float>, grid, kThreads, ctx.stream, part);
    }
  });
}

}  // namespace

void voxelize(const VoxelizeArgs& args, const Context& ctx) {
  for (const VoxelOutput& output : args.outputs) clear(output.data, bytes_of(args, output), ctx.stream);
  if (args.dropped != nullptr)
    clear(args.dropped, static_cast<std::size_t>(args.clouds) * sizeof(*args.dropped), ctx.stream);
  CountArgs part{.points = args.points,
                 .lengths = args.lengths,
                 .offsets = args.offsets,
                 .transforms = args.transforms,
                 .axes = args.axes<float>(),
                 .wide_axes = args.axes<double>(),
                 .samples = args.samples,
                 .clouds = args.clouds,
                 .rows = args.rows(),
                 .z = args.grid.shape[2],
                 .bytes_z = args.bytes_z(),
                 .dropped = reinterpret_cast<unsigned long long*>(args.dropped)};
  std::size_t done = 0;
  do {
    part.output_count = static_cast<int>(std::min<std::size_t>(kOutputs, args.outputs.size() - done));
    std::copy_n(args.outputs.begin() + static_cast<std::ptrdiff_t>(done), part.output_count, part.outputs);
    count_points(args, part, ctx);
    done += static_cast<std::size_t>(part.output_count);
    part.dropped = nullptr;  // counted once
  } while (done < args.outputs.size());
}

}  // namespace robocache::cuda
