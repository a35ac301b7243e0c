#include <algorithm>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_parts.hpp"
#include "kernels/cuda/voxelize_rows.cuh"

// Dense reductions of features: the grid is filled with what a voxel without points holds, points are sorted by voxel,
// and each run of them writes its voxel. There are no atomics. The occupied voxels are written twice, which costs less
// than to keep them for blocks that do both and wait in between.
namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr std::uint32_t kFillBytes = 32 << 10;  ///< of a block

/// All elements of an array become `value`, by all threads of a block.
template <class T>
__device__ void fill(T* to, std::uint32_t size, T value) {
  constexpr std::uint32_t kVector = sizeof(uint4) / sizeof(T);
  const auto unaligned = static_cast<std::uint32_t>(-reinterpret_cast<std::uintptr_t>(to) % sizeof(uint4) / sizeof(T));
  const std::uint32_t head = min(unaligned, size);
  const std::uint32_t vectors = (size - head) / kVector;
  Elements<T, kVector> pattern;
#pragma unroll
  for (T& element : pattern.at) element = value;
  auto* const aligned = reinterpret_cast<Elements<T, kVector>*>(to + head);
  for (std::uint32_t i = threadIdx.x; i < vectors; i += kThreads) aligned[i] = pattern;
  const std::uint32_t tail = head + vectors * kVector;
  if (threadIdx.x < head) to[threadIdx.x] = value;
  if (threadIdx.x < size - tail) to[tail + threadIdx.x] = value;
}

struct FillArgs {
  void* out;
  std::uint64_t size;  ///< elements
  double value;
};

template <class T>
__global__ void __launch_bounds__(kThreads) fill_voxels(const __grid_constant__ FillArgs args) {
  constexpr std::uint32_t kElements = kFillBytes / sizeof(T);
  start_next();
  await_earlier();
  const std::uint64_t first = std::uint64_t{blockIdx.x} * kElements;
  const auto size = static_cast<std::uint32_t>(min(std::uint64_t{kElements}, args.size - first));
  fill(static_cast<T*>(args.out) + first, size, filled<T>(args.value));
}

void launch_fill(DType dtype, const FillArgs& args, void* stream) {
  visit_element_type(dtype, [&]<class T, class C>() {
    const std::uint64_t bytes = args.size * sizeof(T);
    const dim3 grid(static_cast<unsigned>((bytes + kFillBytes - 1) / kFillBytes));
    launch("voxelize", fill_voxels<T>, grid, kThreads, stream, args);
  });
}

constexpr double kLow[3] = {0, 0, 0};

/// One call: its arrays in scratch memory, and its launches.
class FeaturesCall {
 public:
  explicit FeaturesCall(const VoxelizeArgs& args)
      : args_(args), order_("voxelize", args, kLow, scratch_), voxels_(args.clouds * args.rows() * args.grid.shape[2]) {
    chunks_ = scratch_.add(chunk_bytes(order_.size(), args.columns, args.features.dtype, false));
  }

  [[nodiscard]] std::size_t scratch_bytes() const { return scratch_.bytes(); }

  void run(const Context& ctx) {
    scratch_.take(ctx);
    if (args_.dropped != nullptr) {
      check("voxelize",
            cudaMemsetAsync(args_.dropped, 0, static_cast<std::size_t>(args_.clouds) * sizeof(*args_.dropped),
                            static_cast<cudaStream_t>(ctx.stream)));
    }
    const std::uint64_t size = static_cast<std::uint64_t>(voxels_) * static_cast<std::uint64_t>(args_.columns);
    for (const VoxelOutput& output : args_.outputs) {
      launch_fill(args_.features.dtype, {output.data, size, output.empty}, ctx.stream);
    }
    RowArgs rows{.runs = run_args(order_.sort(scratch_, args_.dropped, ctx.stream, Start::early), args_, args_.features,
                                  args_.columns),
                 .capacity = static_cast<std::uint64_t>(voxels_)};
    if (order_.size() == 0) return;
    rows.runs.chunks = scratch_.at<void>(chunks_);
    for (const VoxelOutput& output : args_.outputs) {
      rows.runs.reduce = output.reduce;
      rows.out = output.data;
      reduce_long_runs(rows.runs, ctx.stream);
      launch_rows("voxelize", rows, ctx.stream);
    }
  }

 private:
  const VoxelizeArgs& args_;
  ScratchPlan scratch_;
  PointOrder order_;
  std::int64_t voxels_;  ///< of all clouds
  std::size_t chunks_ = 0;
};

}  // namespace

void voxelize_features(const VoxelizeArgs& args, const Context& ctx) { FeaturesCall(args).run(ctx); }

std::size_t features_scratch(const VoxelizeArgs& args) { return FeaturesCall(args).scratch_bytes(); }

}  // namespace robocache::cuda
