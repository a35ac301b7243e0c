#include <optional>

#include "cuda/graph_fork.hpp"
#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_parts.hpp"
#include "kernels/cuda/voxelize_rows.cuh"

// Dense reductions of features: the grid is filled with what a voxel without points holds (in a graph, while points are
// sorted by voxel), and then each run of points writes its voxel. There are no atomics. The occupied voxels are written
// twice, which costs less than to keep them for blocks that do both and wait in between.
namespace robocache::cuda {

namespace {

constexpr const char* kOp = "voxelize";
constexpr double kLow[3] = {0, 0, 0};
/// Results of fewer bytes are filled before the points are sorted, in a graph, too: a fork, and a sort with less of the
/// memory, cost more than that.
constexpr std::uint64_t kForkedBytes = 32 << 20;

/// One call: its arrays in scratch memory, and its launches.
class FeaturesCall {
 public:
  explicit FeaturesCall(const VoxelizeArgs& args)
      : args_(args),
        order_(kOp, args, kLow, scratch_),
        size_(static_cast<std::uint64_t>(args.clouds * args.rows() * args.grid.shape[2] * args.columns)) {
    chunks_ = scratch_.add(chunk_bytes(order_.size(), args.columns, args.features.dtype, false));
  }

  [[nodiscard]] std::size_t scratch_bytes() const { return scratch_.bytes(); }

  void run(const Context& ctx) {
    scratch_.take(ctx);
    if (args_.dropped != nullptr) {
      check(kOp, cudaMemsetAsync(args_.dropped, 0, static_cast<std::size_t>(args_.clouds) * sizeof(*args_.dropped),
                                 static_cast<cudaStream_t>(ctx.stream)));
    }
    if (order_.size() == 0) return fill(ctx.stream);
    std::optional<GraphFork> fork;
    const bool is_large = args_.outputs.size() * size_ * size_of(args_.features.dtype) >= kForkedBytes;
    if (is_large && is_captured(kOp, ctx.stream)) fork.emplace(kOp, ctx.stream);
    fill(ctx.stream);
    if (fork) fork->second();
    Start start = fork ? Start::in_order : Start::early;
    RowArgs rows{
        .runs = run_args(order_.sort(scratch_, args_.dropped, ctx.stream, start), args_, args_.features, args_.columns),
        .capacity = size_ / static_cast<std::uint64_t>(args_.columns)};
    rows.runs.chunks = scratch_.at<void>(chunks_);
    for (const VoxelOutput& output : args_.outputs) {
      rows.runs.reduce = output.reduce;
      rows.out = output.data;
      reduce_long_runs(rows.runs, ctx.stream);
      if (fork) fork->join();
      launch_rows(kOp, rows, ctx.stream, start);
      start = Start::early;
    }
  }

 private:
  void fill(void* stream) const {
    for (const VoxelOutput& output : args_.outputs) fill_features(output, args_.features.dtype, size_, stream);
  }

  const VoxelizeArgs& args_;
  ScratchPlan scratch_;
  PointOrder order_;
  std::uint64_t size_;  ///< elements of an output
  std::size_t chunks_ = 0;
};

}  // namespace

void voxelize_features(const VoxelizeArgs& args, const Context& ctx) { FeaturesCall(args).run(ctx); }

std::size_t features_scratch(const VoxelizeArgs& args) { return FeaturesCall(args).scratch_bytes(); }

}  // namespace robocache::cuda
