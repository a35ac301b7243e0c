#include "kernels/voxelize.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "kernels/voxelize_gradient.hpp"
#include "kernels/voxelize_sparse.hpp"
#include "ops/clouds.hpp"
#include "ops/run_on.hpp"
#include "ops/voxelize_inputs.hpp"

namespace robocache {

namespace {

VoxelOutput read_output(const VoxelizeInputs& inputs, const Subject& subject, const Voxels& voxels) {
  const Check& check = inputs.check();
  const VoxelizeArgs& args = inputs.args();
  std::vector<std::int64_t> shape = inputs.leading();
  shape.insert(shape.end(), std::begin(args.grid.shape), std::end(args.grid.shape));
  if (voxels.reduce == Reduce::occupancy_bits) shape.back() = args.bytes_z();
  if (needs_features(voxels.reduce)) {
    inputs.check_features();
    shape.push_back(args.columns);
  }
  inputs.check_output(subject, voxels.out, shape);
  if (voxels.reduce == Reduce::count) {
    check.dtype(subject, voxels.out, DType::i32);
  } else if (voxels.reduce == Reduce::occupancy) {
    check.dtype(subject, voxels.out, OccupancyDTypes{});
  } else {
    check.dtype(subject, voxels.out, needs_features(voxels.reduce) ? args.features.dtype : DType::u8);
  }
  return {voxels.reduce, voxels.out.data, voxels.empty};
}

/// Features that no reduction asks for take no scratch.
template <class Reductions>
void forget_unused_features(VoxelizeArgs& args, const Reductions& reductions) {
  if (std::ranges::none_of(reductions, needs_features)) args.columns = 0;
}

VoxelizeScratch scratch_of(Device device, const VoxelizeArgs& args, const Context& ctx) {
  VoxelizeScratch scratch;
  run_on(
      device, "voxelize", [&]<Isa isa>() { scratch = cpu::voxelize_scratch<isa>(args, ctx); },
      [&] { scratch = cuda::voxelize_scratch(args); });
  return scratch;
}

std::int64_t checked_limit(Device device, const VoxelizeArgs& args, std::int64_t max_scratch, const Context& ctx) {
  const std::int64_t least = scratch_of(device, args, ctx).least;
  if (max_scratch >= least) return max_scratch;
  throw OutOfMemory("voxelize: max_scratch is " + std::to_string(max_scratch) + " bytes, expected at least " +
                    std::to_string(least) + ", the least that these clouds take");
}

/// Saturated.
std::int64_t output_bytes(const VoxelizeArgs& args, Reduce reduce) {
  std::int64_t bytes = 1;
  const auto times = [&](std::int64_t n) {
    if (__builtin_mul_overflow(bytes, n, &bytes)) bytes = kNoMemoryLimit;
  };
  times(args.clouds);
  times(args.rows());
  times(reduce == Reduce::occupancy_bits ? args.bytes_z() : args.grid.shape[2]);
  if (reduce == Reduce::count) times(sizeof(std::int32_t));
  if (needs_features(reduce)) {
    times(args.columns);
    times(static_cast<std::int64_t>(size_of(args.features.dtype)));
  }
  return bytes;
}

/// Outputs of a row for each voxel; the first that is given says how many rows there are.
class RowOutputs {
 public:
  explicit RowOutputs(const VoxelizeInputs& inputs) : inputs_(inputs) {}

  /// [M, columns], or [M] where they are kNoColumns.
  void* read(const Subject& subject, const Tensor& out, std::int64_t columns, DType dtype) {
    return read(subject, out, columns >= 0 ? std::vector{columns} : std::vector<std::int64_t>{}, dtype);
  }

  /// [M, ...tail].
  void* read(const Subject& subject, const Tensor& out, std::vector<std::int64_t> tail, DType dtype) {
    if (!out.given()) return nullptr;
    if (capacity_ < 0 && out.rank > 0) capacity_ = out.shape[0];
    std::vector<std::int64_t> shape = std::move(tail);
    shape.insert(shape.begin(), std::max<std::int64_t>(capacity_, 0));
    inputs_.check_output(subject, out, shape);
    inputs_.check().dtype(subject, out, dtype);
    return out.data;
  }

  static constexpr std::int64_t kNoColumns = -1;
  [[nodiscard]] std::int64_t capacity() const { return std::max<std::int64_t>(capacity_, 0); }

 private:
  const VoxelizeInputs& inputs_;
  std::int64_t capacity_ = -1;
};

void check_limit(const Check& check, const char* subject, std::int64_t limit) {
  if (limit < 1) check.fail(subject, std::to_string(limit), "at least 1");
}

void run(const VoxelizeSparseArgs& args, Device device, const Context& ctx) {
  run_on(
      device, args.op, [&]<Isa isa>() { cpu::voxelize_sparse<isa>(args, ctx); },
      [&] { cuda::voxelize_sparse(args, ctx); });
}

VoxelSpan span_of(const VoxelizeSparseArgs& args, Device device, const Context& ctx) {
  VoxelSpan span{};
  run_on(
      device, args.op, [&]<Isa isa>() { span = cpu::voxel_span<isa>(args.input, ctx); },
      [&] { span = cuda::voxel_span(args.input, ctx); });
  return span;
}

/// Puts the box of all finite points into `args` as its grid.
void bound(const Check& check, VoxelizeSparseArgs& args, Device device, const Context& ctx) {
  VoxelSpan span = span_of(args, device, ctx);
  const bool wide = args.input.points.dtype == DType::f64;
  const char* const axes[] = {" along x", " along y", " along z"};
  const char* const hint = "a larger voxel_m, an origin nearby, or fewer stray points";
  std::int64_t all = std::max<std::int64_t>(args.input.clouds, 1);
  bool overflow = false;
  for (int i = 0; i < 3; ++i) {
    const bool none = span.low[i] > span.high[i];
    if (none) span.low[i] = span.high[i] = 0;
    const double farthest = std::max(-span.low[i], span.high[i]);
    if (!(farthest <= std::ldexp(1, wide ? 53 : 24))) {
      check.fail("points", number_text(farthest) + " voxels from the origin" + axes[i],
                 wide ? "at most 2^53" : "at most 2^24", hint);
    }
    const double size = span.high[i] - span.low[i] + 1;
    if (size > static_cast<double>(kMostVoxelsOfAxis)) {
      check.fail("points", number_text(size) + " voxels wide" + axes[i], "at most 2^24", hint);
    }
    args.low[i] = span.low[i];
    args.input.grid.shape[i] = static_cast<std::int64_t>(size);
    overflow = __builtin_mul_overflow(all, args.input.grid.shape[i], &all) || overflow;
  }
  if (overflow) {
    check.fail("points", "in a box of " + shape_text(args.input.grid.shape) + " voxels",
               "less than 2^63 voxels in all clouds", hint);
  }
}

}  // namespace

void voxelize(const Clouds& clouds, const VoxelGrid& grid, std::span<const Voxels> voxels, const Tensor& dropped,
              const Context& ctx) {
  voxelize(clouds, grid, voxels, dropped, {}, ctx);
}

void voxelize(const Clouds& clouds, const VoxelGrid& grid, std::span<const Voxels> voxels, const Tensor& dropped,
              const VoxelizeOptions& options, const Context& ctx) {
  const VoxelizeInputs inputs("voxelize", clouds, grid);
  VoxelizeArgs args = inputs.args();
  std::vector<VoxelOutput> outputs;
  outputs.reserve(voxels.size());
  for (std::size_t i = 0; i < voxels.size(); ++i) {
    outputs.push_back(read_output(inputs, Subject("voxels", i, "", "out"), voxels[i]));
  }
  args.outputs = outputs;
  args.dropped = inputs.numbers("dropped", dropped, inputs.leading());
  forget_unused_features(args, voxels | std::views::transform(&Voxels::reduce));
  if (options.max_scratch != kNoMemoryLimit) {
    args.max_scratch = checked_limit(inputs.device(), args, options.max_scratch, ctx);
  }
  if (args.clouds == 0) return;
  run_on(
      inputs.device(), "voxelize", [&]<Isa isa>() { cpu::voxelize<isa>(args, ctx); },
      [&] { cuda::voxelize(args, ctx); });
}

VoxelizeMemory plan_memory(const Clouds& clouds, const VoxelGrid& grid, std::span<const Reduce> reductions,
                           const Context& ctx) {
  const VoxelizeInputs inputs("voxelize", clouds, grid);
  VoxelizeArgs args = inputs.args();
  VoxelizeMemory memory{8 * args.clouds, kNoMemoryLimit, kNoMemoryLimit};
  for (Reduce reduce : reductions) {
    if (needs_features(reduce)) inputs.check_features();
    const std::int64_t bytes = output_bytes(args, reduce);
    if (__builtin_add_overflow(memory.outputs, bytes, &memory.outputs)) memory.outputs = kNoMemoryLimit;
  }
  // Nobody has so much: what scratch comes to need not be computed, and could overflow.
  constexpr std::int64_t most = std::int64_t{1} << 56;
  if (memory.outputs > most) return memory;
  forget_unused_features(args, reductions);
  const VoxelizeScratch scratch = scratch_of(inputs.device(), args, ctx);
  memory.scratch = scratch.all;
  memory.least_scratch = scratch.least;
  return memory;
}

void voxelize_gradient(const Clouds& clouds, const VoxelGrid& grid, std::span<const VoxelGradient> gradients,
                       const Tensor& grad_features, const Context& ctx) {
  const VoxelizeInputs inputs("voxelize_gradient", clouds, grid);
  const Check& check = inputs.check();
  inputs.check_features();
  VoxelizeGradientArgs args{.input = inputs.args(), .gradients = {}, .grad_features = grad_features.data};
  std::vector<std::int64_t> shape = inputs.leading();
  shape.insert(shape.end(), std::begin(grid.shape), std::end(grid.shape));
  shape.push_back(args.input.columns);
  std::vector<VoxelGradientInput> read;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const VoxelGradient& gradient = gradients[i];
    if (!needs_features(gradient.reduce)) {
      check.fail(Subject("gradients", i, "", "reduce"), name(gradient.reduce), "a reduction of features",
                 "counts have no gradient");
    }
    const Subject subject("gradients", i, "", "grad_out");
    inputs.check_output(subject, gradient.grad_out, shape);
    check.dtype(subject, gradient.grad_out, args.input.features.dtype);
    read.push_back({gradient.reduce, gradient.grad_out.data});
  }
  args.gradients = read;
  inputs.check_output("grad_features", grad_features, clouds.features.sizes());
  check.dtype("grad_features", grad_features, args.input.features.dtype);
  run_on(
      inputs.device(), "voxelize_gradient", [&]<Isa isa>() { cpu::voxelize_gradient<isa>(args, ctx); },
      [&] { cuda::voxelize_gradient(args, ctx); });
}

void voxelize_sparse(const Clouds& clouds, const VoxelGrid& grid, const SparseLimits& limits, const SparseVoxels& out,
                     const Context& ctx) {
  const VoxelizeInputs inputs("voxelize_sparse", clouds, grid);
  const Check& check = inputs.check();
  check_limit(check, "max_points", limits.max_points);
  check_limit(check, "max_voxels", limits.max_voxels);
  RowOutputs rows(inputs);
  VoxelizeSparseArgs args{.input = inputs.args(), .limits = limits};
  args.coords = static_cast<std::int32_t*>(rows.read("coords", out.coords, 4, DType::i32));
  args.counts = static_cast<std::int32_t*>(rows.read("counts", out.counts, RowOutputs::kNoColumns, DType::i32));
  std::vector<VoxelOutput> outputs;
  for (std::size_t i = 0; i < out.reductions.size(); ++i) {
    const SparseReduction& reduction = out.reductions[i];
    if (!needs_features(reduction.reduce)) {
      check.fail(Subject("reductions", i, "", "reduce"), name(reduction.reduce), "a reduction of features",
                 "counts are always there");
    }
    inputs.check_features();
    void* const data =
        rows.read(Subject("reductions", i, "", "out"), reduction.out, args.input.columns, args.input.features.dtype);
    if (data != nullptr) outputs.push_back({reduction.reduce, data, 0});
  }
  if (out.points.given()) {
    inputs.check_features();
    if (limits.max_points == kKeepAll) {
      check.fail("max_points", "not given", "how many points the lists of a voxel have room for");
    }
    args.points = rows.read("points", out.points, {limits.max_points, args.input.columns}, args.input.features.dtype);
  }
  const SparseFeatures features{args.input.features, args.input.columns, outputs};
  if (!outputs.empty()) args.features = {&features, 1};
  args.capacity = rows.capacity();
  const std::span<const std::int64_t> points = clouds.points.sizes();
  args.inverse = inputs.numbers("inverse", out.inverse, points.first(points.size() - 1));
  args.inverse_size = out.inverse.numel();
  args.offsets = inputs.numbers("offsets", out.offsets, std::vector{args.input.clouds + 1});
  args.input.dropped = inputs.numbers("dropped", out.dropped, inputs.leading());
  run(args, inputs.device(), ctx);
}

void voxel_downsample(const Clouds& clouds, const double (&voxel_m)[3], const double (&origin)[3],
                      const DownsampledCloud& out, const Context& ctx) {
  VoxelGrid grid;
  std::ranges::copy(voxel_m, grid.voxel_m);
  std::ranges::copy(origin, grid.origin);
  const VoxelizeInputs inputs("voxel_downsample", clouds, grid);
  const Check& check = inputs.check();
  if (clouds.transform.given()) check.fail("transform", "given", "none", "points keep their frame");
  RowOutputs rows(inputs);
  VoxelizeSparseArgs args{.op = "voxel_downsample", .input = inputs.args(), .limits = {}};
  const VoxelOutput points{Reduce::mean, rows.read("points", out.points, 3, args.input.points.dtype), 0};
  if (out.features.given()) inputs.check_features();
  const VoxelOutput features{Reduce::mean,
                             rows.read("features", out.features, args.input.columns, args.input.features.dtype), 0};
  std::vector<SparseFeatures> means;
  if (points.data != nullptr) means.push_back({args.input.points, 3, {&points, 1}});
  if (features.data != nullptr) means.push_back({args.input.features, args.input.columns, {&features, 1}});
  args.features = means;
  args.counts = static_cast<std::int32_t*>(rows.read("counts", out.counts, RowOutputs::kNoColumns, DType::i32));
  args.capacity = rows.capacity();
  args.offsets = inputs.numbers("offsets", out.offsets, std::vector{args.input.clouds + 1});
  args.input.dropped = inputs.numbers("dropped", out.dropped, inputs.leading());
  bound(check, args, inputs.device(), ctx);
  run(args, inputs.device(), ctx);
}

}  // namespace robocache
