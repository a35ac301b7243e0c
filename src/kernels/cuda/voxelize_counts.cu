#include <algorithm>
#include <limits>
#include <span>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_parts.hpp"
#include "kernels/cuda/voxelize_points.cuh"

// Counts and occupancy are atomics on results that were cleared just before and are still in the L2: of many clouds,
// one launch adds the points of some and clears the results of the next ones.
namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr int kPointsPerThread = 2;
constexpr int kOutputs = 4;                                   ///< of one launch
constexpr std::int64_t kGroupBytes = std::int64_t{18} << 20;  ///< cleared at once: they wait in the L2 for their points
constexpr std::int64_t kClearBytes = kThreads * 64;           ///< by one block at least
/// Blocks for each processor that clear, and that count where there are several groups. With fewer or more of them the
/// L2 loses what it should keep: 1.2x to 1.8x on H200 (bench voxelize_cuda, 64x65536->128^3).
constexpr std::int64_t kWaveBlocks = 2;

struct Bytes {
  std::uint8_t* data = nullptr;
  std::int64_t size = 0;
};

struct Counted {
  std::uint8_t* data;
  std::int64_t cloud_bytes;
  Reduce reduce;
};

/// One launch: what is counted, and what is cleared for the next one.
struct CountArgs {
  PlacedPoints source;
  std::int64_t bytes_z = 0;
  unsigned long long* dropped = nullptr;
  std::int64_t first_cloud = 0;
  unsigned blocks = 1;        ///< of a cloud
  unsigned count_blocks = 0;  ///< of all clouds
  Counted outputs[kOutputs] = {};
  int output_count = 0;
  Bytes cleared[kOutputs + 1] = {};
  int cleared_count = 0;
};

/// `points` points in one voxel of a cloud.
template <class Index>
__device__ void add(const CountArgs& args, std::int64_t cloud, Index voxel, int points) {
  for (int i = 0; i < args.output_count; ++i) {
    std::uint8_t* const data = args.outputs[i].data + cloud * args.outputs[i].cloud_bytes;
    if (args.outputs[i].reduce == Reduce::count) {
      atomicAdd(reinterpret_cast<int*>(data) + voxel, points);
    } else if (args.outputs[i].reduce == Reduce::occupancy) {
      data[voxel] = 1;  // Whoever comes last writes the same.
    } else {
      const auto row = voxel / static_cast<Index>(args.source.z);
      const auto z = static_cast<unsigned>(voxel - row * static_cast<Index>(args.source.z));
      std::uint8_t* const byte = data + static_cast<std::uint64_t>(row) * args.bytes_z + z / 8;
      const auto in_word = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(byte) % sizeof(unsigned));
      // There are no atomics for bytes.
      atomicOr(reinterpret_cast<unsigned*>(byte - in_word), 1u << (8 * in_word + z % 8));
    }
  }
}

/// A point's voxel for each lane of a warp, or kNowhere. Where neighbours share one, as in scans and in full voxels, a
/// lane speaks for all that do: atomics on one word take their turns.
template <class Index>
__device__ void add_of_warp(const CountArgs& args, std::int64_t cloud, Index voxel) {
  constexpr Index kNowhere = ~Index{0};
  const unsigned lane = threadIdx.x % 32;
  const Index before = __shfl_up_sync(~0u, voxel, 1);
  int points = voxel != kNowhere ? 1 : 0;
  if (__any_sync(~0u, lane > 0 && points > 0 && before == voxel)) {
    const unsigned alike = __match_any_sync(~0u, voxel);
    points = points > 0 && __ffs(alike) - 1 == static_cast<int>(lane) ? __popc(alike) : 0;
  }
  if (points > 0) add(args, cloud, voxel, points);
}

/// Block after block of a cloud's points. Reads them, which nothing in this call writes, while the launch before clears
/// the results.
template <class T, class C, class Index>
__device__ void count_points(const CountArgs& args) {
  const std::int64_t cloud = args.first_cloud + blockIdx.x / args.blocks;
  const CloudRange range = args.source.range(cloud);
  const bool moved = args.source.transforms.data != nullptr;
  constexpr std::int64_t kEach = std::int64_t{kThreads} * kPointsPerThread;
  int outside = 0;
  bool cleared = false;
  for (std::int64_t first = range.begin + blockIdx.x % args.blocks * kEach; first < range.end;
       first += args.blocks * kEach) {
    const std::int64_t n = first + threadIdx.x;
    Point<C> p[kPointsPerThread];
#pragma unroll
    for (int k = 0; k < kPointsPerThread; ++k) {
      const bool there = n + k * kThreads < range.end;
      p[k] = there ? point_at<T, C>(args.source.points, range.base, n + k * kThreads) : Point<C>{};
    }
    Index voxel[kPointsPerThread];
#pragma unroll
    for (int k = 0; k < kPointsPerThread; ++k) {
      if (moved) p[k] = args.source.transforms.template at<C>(cloud)(p[k]);
      const bool there = n + k * kThreads < range.end;
      voxel[k] = there ? args.source.template voxel<C, Index>(p[k]) : ~Index{0};
      outside += there && voxel[k] == ~Index{0} ? 1 : 0;
    }
    if (!cleared) await_earlier();
    cleared = true;
#pragma unroll
    for (int k = 0; k < kPointsPerThread; ++k) add_of_warp(args, cloud, voxel[k]);
  }
  if (!cleared) await_earlier();
  if (args.dropped == nullptr) return;
  const int of_warp = __reduce_add_sync(~0u, outside);
  if (threadIdx.x % 32 == 0 && of_warp > 0) atomicAdd(&args.dropped[cloud], static_cast<unsigned long long>(of_warp));
}

/// Sets bytes to 0, by all threads of the grid.
__device__ void clear(const Bytes& bytes) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t threads = std::int64_t{gridDim.x} * kThreads;
  const auto unaligned = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(bytes.data) % sizeof(uint4));
  const std::int64_t head = min(unaligned, bytes.size);
  const std::int64_t words = (bytes.size - head) / std::int64_t{sizeof(uint4)};
  auto* const aligned = reinterpret_cast<uint4*>(bytes.data + head);
  for (std::int64_t i = thread; i < words; i += threads) aligned[i] = uint4{0, 0, 0, 0};
  const std::int64_t tail = head + words * std::int64_t{sizeof(uint4)};
  if (thread < head) bytes.data[thread] = 0;
  if (thread < bytes.size - tail) bytes.data[tail + thread] = 0;
}

/// 32-bit Index where a cloud has no more voxels.
template <class T, class C, class Index>
__global__ void __launch_bounds__(kThreads, sizeof(C) + sizeof(Index) == 8 ? 8 : 4)
    count_and_clear(const __grid_constant__ CountArgs args) {
  start_next();
  if (blockIdx.x < args.count_blocks) {
    count_points<T, C, Index>(args);
  } else {
    await_earlier();
  }
  for (int i = 0; i < args.cleared_count; ++i) clear(args.cleared[i]);
}

std::int64_t wave() {
  int device = 0;
  int processors = 0;
  check("voxelize", cudaGetDevice(&device));
  check("voxelize", cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  return kWaveBlocks * processors;
}

/// The launches of up to kOutputs outputs.
class Counting {
 public:
  Counting(const VoxelizeArgs& args, std::span<const VoxelOutput> outputs, std::int64_t* dropped)
      : args_(args),
        launch_{.source = PlacedPoints(args),
                .bytes_z = args.bytes_z(),
                .dropped = reinterpret_cast<unsigned long long*>(dropped)} {
    std::int64_t bytes = 1;
    for (const VoxelOutput& output : outputs) {
      Counted& counted = launch_.outputs[launch_.output_count++];
      counted = {static_cast<std::uint8_t*>(output.data), bytes_of_cloud(output.reduce), output.reduce};
      if (is_grouped(counted)) bytes += counted.cloud_bytes;
    }
    group_ = std::clamp<std::int64_t>(kGroupBytes / bytes, 1, args.clouds);
    // Packed clouds: what they have on the average; a larger one takes more rounds.
    const std::int64_t points =
        args.offsets.data != nullptr ? (args.samples + args.clouds - 1) / args.clouds : args.samples;
    constexpr std::int64_t kEach = std::int64_t{kThreads} * kPointsPerThread;
    const std::int64_t most =
        std::max<std::int64_t>(1, (group_ < args.clouds ? wave_ : std::int64_t{1} << 30) / group_);
    launch_.blocks = static_cast<unsigned>(std::clamp<std::int64_t>((points + kEach - 1) / kEach, 1, most));
  }

  void run(void* stream) {
    const std::int64_t groups = (args_.clouds + group_ - 1) / group_;
    // The first launch counts nothing and begins in order: the points are there when the others begin early.
    for (std::int64_t g = 0; g <= groups; ++g) {
      const std::int64_t first = std::max<std::int64_t>(0, (g - 1) * group_);
      const std::int64_t clouds = g == 0 ? 0 : std::min(group_, args_.clouds - first);
      launch_.first_cloud = first;
      launch_.count_blocks = launch_.blocks * static_cast<unsigned>(clouds);
      const std::int64_t cleared = plan_clearing(g);
      const std::int64_t blocks = std::clamp<std::int64_t>((cleared + kClearBytes - 1) / kClearBytes, 1, wave_);
      const dim3 grid(std::max(launch_.count_blocks, static_cast<unsigned>(blocks)));
      const Start start = g == 0 ? Start::in_order : Start::early;
      visit_element_type(args_.points.dtype, [&]<class T, class C>() {
        const auto kernel = launch_.source.voxels() < std::numeric_limits<std::uint32_t>::max()
                                ? count_and_clear<T, C, std::uint32_t>
                                : count_and_clear<T, C, std::uint64_t>;
        launch("voxelize", kernel, grid, kThreads, stream, launch_, start);
      });
    }
  }

 private:
  /// The words of bits are shared by clouds, and they are few: all are cleared first.
  static bool is_grouped(const Counted& output) { return output.reduce != Reduce::occupancy_bits; }

  [[nodiscard]] std::int64_t bytes_of_cloud(Reduce reduce) const {
    if (reduce == Reduce::occupancy_bits) return args_.rows() * args_.bytes_z();
    return args_.rows() * args_.grid.shape[2] * static_cast<std::int64_t>(reduce == Reduce::count ? sizeof(int) : 1);
  }

  /// What launch `g` clears; how many bytes that is.
  std::int64_t plan_clearing(std::int64_t g) {
    launch_.cleared_count = 0;
    std::int64_t all = 0;
    const auto clear_clouds = [&](void* data, std::int64_t bytes, std::int64_t first, std::int64_t clouds) {
      if (clouds <= 0 || bytes == 0) return;
      launch_.cleared[launch_.cleared_count++] = {static_cast<std::uint8_t*>(data) + first * bytes, clouds * bytes};
      all += clouds * bytes;
    };
    for (const Counted& output : std::span(launch_.outputs, static_cast<std::size_t>(launch_.output_count))) {
      if (is_grouped(output)) {
        clear_clouds(output.data, output.cloud_bytes, g * group_, std::min(group_, args_.clouds - g * group_));
      } else if (g == 0) {
        clear_clouds(output.data, output.cloud_bytes, 0, args_.clouds);
      }
    }
    if (g == 0 && launch_.dropped != nullptr) clear_clouds(launch_.dropped, sizeof(*launch_.dropped), 0, args_.clouds);
    return all;
  }

  const VoxelizeArgs& args_;
  CountArgs launch_;
  std::int64_t wave_ = wave();
  std::int64_t group_ = 1;  ///< clouds
};

}  // namespace

void voxelize_counts(const VoxelizeArgs& args, const Context& ctx) {
  std::int64_t* dropped = args.dropped;
  std::span<const VoxelOutput> left = args.outputs;
  do {
    const std::size_t now = std::min<std::size_t>(kOutputs, left.size());
    Counting(args, left.first(now), dropped).run(ctx.stream);
    left = left.subspan(now);
    dropped = nullptr;  // counted once
  } while (!left.empty());
}

}  // namespace robocache::cuda
