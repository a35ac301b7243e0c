#include "kernels/voxelize.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <string>
#include <vector>

#include "core/build.hpp"
#include "core/check.hpp"
#include "cuda/device_guard.hpp"

namespace robocache {

namespace {

constexpr std::int64_t kMostCudaClouds = std::int64_t{1} << 30;  // a block each at least

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  return text;
}

bool is_contiguous(const ConstTensor& tensor) {
  std::int64_t stride = 1;
  for (int i = tensor.rank - 1; i >= 0 && tensor.numel() > 0; --i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

/// The arguments of one call.
class Inputs {
 public:
  Inputs(const Clouds& clouds, const VoxelGrid& grid) {
    device_ = clouds.points.device;
    read_points(clouds);
    args_.lengths = index_list("lengths", clouds.lengths, batch_);
    args_.offsets = index_list("offsets", clouds.offsets, batch_ + 1);
    read_features(clouds.features);
    read_transform(clouds.transform);
    read_grid(grid);
    if (device_.kind == DeviceKind::cpu) check_ranges();
  }

  void write(std::span<const Voxels> voxels, const Tensor& dropped) {
    for (std::size_t i = 0; i < voxels.size(); ++i) read_output(Subject("voxels", i, "", "out"), voxels[i]);
    args_.outputs = outputs_;
    if (!dropped.given()) return;
    check_output("dropped", dropped, leading());
    check_.dtype("dropped", dropped, DType::i64);
    args_.dropped = static_cast<std::int64_t*>(dropped.data);
  }

  [[nodiscard]] Device device() const { return device_; }
  [[nodiscard]] const VoxelizeArgs& args() const { return args_; }

 private:
  [[nodiscard]] std::vector<std::int64_t> leading() const {
    return batched_ ? std::vector{batch_} : std::vector<std::int64_t>{};
  }

  void read_points(const Clouds& clouds) {
    const ConstTensor& points = clouds.points;
    const bool packed = clouds.offsets.given();
    check_.dtype("points", points, PointDTypes{});
    if (points.rank == 3) {
      check_.shape("points", points, {&padded_, &samples_, 3});
      if (packed) check_.fail("offsets", "given with points [B, N, 3]", "points [N, 3]");
    } else {
      if (points.rank != 2 || points.shape[1] != 3) check_.fail("points", shape_text(points), "[N, 3] or [B, N, 3]");
      samples_.value = points.shape[0];
      if (clouds.lengths.given()) check_.fail("lengths", "given with points [N, 3]", "points [B, N, 3]");
    }
    if (packed && (clouds.offsets.rank != 1 || clouds.offsets.shape[0] < 1)) {
      check_.fail("offsets", shape_text(clouds.offsets), "[B+1]");
    }
    batched_ = packed || points.rank == 3;
    batch_ = packed ? clouds.offsets.shape[0] - 1 : points.rank == 3 ? padded_.value : 1;
    if (device_.kind == DeviceKind::cuda && batch_ > kMostCudaClouds) {
      check_.unsupported("points", "of " + std::to_string(batch_) + " clouds", "at most 2^30 on CUDA");
    }
    args_.points = rows(points);
    args_.clouds = batch_;
    args_.samples = samples_.value;
  }

  [[nodiscard]] static PointRows rows(const ConstTensor& t) {
    return {t.data, t.dtype, t.rank == 3 ? t.strides[0] : 0, t.strides[t.rank - 2], t.strides[t.rank - 1]};
  }

  void read_features(const ConstTensor& features) {
    if (!features.given()) return;
    check_.dtype("features", features, PointDTypes{});
    check_.device("features", features, device_);
    if (padded_.value >= 0) {
      check_.shape("features", features, {&padded_, &samples_, &columns_});
    } else {
      check_.shape("features", features, {&samples_, &columns_});
    }
    args_.features = rows(features);
    args_.columns = columns_.value;
    args_.has_features = true;
  }

  void read_transform(const ConstTensor& transform) {
    if (!transform.given()) return;
    check_.dtype("transform", transform, TransformDTypes{});
    check_.device("transform", transform, device_);
    if (transform.rank == 3 && batched_) {
      check_.shape("transform", transform, {batch_, 4, 4});
    } else {
      check_.shape("transform", transform, {4, 4});
    }
    const PointRows t = rows(transform);
    args_.transforms = {t.data, t.dtype == DType::f64, t.batch, t.row, t.column};
  }

  [[nodiscard]] IndexList index_list(const Subject& subject, const ConstTensor& list, std::int64_t size) const {
    if (!list.given()) return {};
    check_.shape(subject, list, {size});
    check_.dtype(subject, list, IndexDTypes{});
    check_.device(subject, list, device_);
    return {list.data, list.strides[0], list.dtype == DType::i64};
  }

  void check_ranges() const {
    if (args_.lengths.data == nullptr && args_.offsets.data == nullptr) return;
    for (std::int64_t b = 0; b < batch_; ++b) {
      const CloudRange range = cloud_range(args_, b);
      if (range.begin >= 0 && range.begin <= range.end && range.end <= args_.samples) continue;
      const std::string cloud = " of cloud " + std::to_string(b);
      if (args_.lengths.data != nullptr) {
        check_.fail("lengths", std::to_string(range.end) + cloud, "0 to N=" + std::to_string(args_.samples));
      }
      check_.fail("offsets", std::to_string(range.begin) + " to " + std::to_string(range.end) + cloud,
                  "non-decreasing numbers of 0 to N=" + std::to_string(args_.samples));
    }
  }

  void read_grid(const VoxelGrid& grid) {
    const char* const axes[] = {" along x", " along y", " along z"};
    for (int i = 0; i < 3; ++i) {
      const double voxel_m = grid.voxel_m[i];
      if (!std::isfinite(static_cast<float>(grid.origin[i]))) {
        check_.fail("origin", number(grid.origin[i]) + axes[i], "a number of metres that float32 holds");
      }
      if (!(std::isnormal(static_cast<float>(voxel_m)) && std::isnormal(1 / static_cast<float>(voxel_m)) &&
            voxel_m > 0)) {
        check_.fail("voxel_m", number(voxel_m) + axes[i], "1.2e-38 to 8.5e37 metres");
      }
      if (grid.shape[i] < 0 || grid.shape[i] > kMostVoxelsOfAxis) {
        check_.fail("shape", std::to_string(grid.shape[i]) + axes[i],
                    "0 to " + std::to_string(kMostVoxelsOfAxis) + " voxels");
      }
    }
    std::int64_t all = batch_;
    bool overflow = false;
    for (std::int64_t size : grid.shape) overflow = __builtin_mul_overflow(all, size, &all) || overflow;
    if (overflow) check_.fail("shape", shape_text(grid.shape), "less than 2^63 voxels in all clouds");
    args_.grid = grid;
  }

  void read_output(const Subject& subject, const Voxels& voxels) {
    std::vector<std::int64_t> shape = leading();
    shape.insert(shape.end(), std::begin(args_.grid.shape), std::end(args_.grid.shape));
    if (voxels.reduce == Reduce::occupancy_bits) shape.back() = args_.bytes_z();
    if (needs_features(voxels.reduce)) {
      if (device_.kind == DeviceKind::cuda) {
        check_.unsupported("reduce", std::string(name(voxels.reduce)) + " on CUDA", "count or occupancy",
                           "features are reduced on the CPU alone");
      }
      if (!args_.has_features) {
        check_.fail("features", "not given", "an array as points, with F columns", "count and occupancy need none");
      }
      shape.push_back(args_.columns);
    }
    check_output(subject, voxels.out, shape);
    if (voxels.reduce == Reduce::count) {
      check_.dtype(subject, voxels.out, DType::i32);
    } else if (voxels.reduce == Reduce::occupancy) {
      check_.dtype(subject, voxels.out, OccupancyDTypes{});
    } else {
      check_.dtype(subject, voxels.out, needs_features(voxels.reduce) ? args_.features.dtype : DType::u8);
    }
    outputs_.push_back({voxels.reduce, voxels.out.data, voxels.empty});
  }

  void check_output(const Subject& subject, const Tensor& out, std::span<const std::int64_t> shape) const {
    if (!std::ranges::equal(out.sizes(), shape)) check_.fail(subject, shape_text(out), shape_text(shape));
    check_.device(subject, out, device_);
    if (!is_contiguous(out)) check_.fail(subject, "strided", "contiguous");
  }

  const Check check_{"voxelize"};
  VoxelizeArgs args_;
  Device device_{};
  Dim padded_{"B"};  ///< of points [B, N, 3]
  Dim samples_{"N"};
  Dim columns_{"F"};
  std::int64_t batch_ = 1;
  bool batched_ = false;
  std::vector<VoxelOutput> outputs_;
};

}  // namespace

void voxelize(const Clouds& clouds, const VoxelGrid& grid, std::span<const Voxels> voxels, const Tensor& dropped,
              const Context& ctx) {
  Inputs inputs(clouds, grid);
  inputs.write(voxels, dropped);
  const VoxelizeArgs& args = inputs.args();
  if (args.clouds == 0) return;
  if (inputs.device().kind == DeviceKind::cpu) {
    visit(active_isa(), BuiltIsas{}, [&]<Isa isa>() { cpu::voxelize<isa>(args, ctx); });
  } else if constexpr (build::cuda) {
    const cuda::DeviceGuard guard(inputs.device().index);
    cuda::voxelize(args, ctx);
  } else {
    no_cuda("voxelize");
  }
}

}  // namespace robocache
