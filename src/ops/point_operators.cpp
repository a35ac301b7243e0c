#include "kernels/point_operators.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/check.hpp"
#include "ops/clouds.hpp"
#include "ops/run_on.hpp"

namespace robocache {

namespace {

void check_box(const Check& check, const Box& box) {
  const char* const axes[] = {" along x", " along y", " along z"};
  for (int i = 0; i < 3; ++i) {
    if (std::isnan(box.low[i])) check.fail("low", std::string("nan") + axes[i], "a number");
    if (!(box.high[i] >= box.low[i])) {
      check.fail("high", number_text(box.high[i]) + axes[i], "at least low, which is " + number_text(box.low[i]));
    }
  }
}

/// An output of crop: [K, tail], contiguous.
void check_rows(const Check& check, const Subject& subject, const Tensor& out, DType dtype,
                std::initializer_list<Check::Extent> want, Device device) {
  check.shape(subject, out, want);
  check.dtype(subject, out, dtype);
  check.device(subject, out, device);
  if (!is_contiguous(out)) check.fail(subject, "strided", "contiguous");
}

CropArgs read_cropped(const Check& check, const Clouds& clouds, const Cropped& cropped) {
  CropArgs args;
  args.clouds = read_clouds(check, clouds);
  const Device device = clouds.points.device;
  Dim room{"K"};
  check_rows(check, "out.offsets", cropped.offsets, DType::i64, {args.clouds.clouds + 1}, device);
  args.offsets = static_cast<std::int64_t*>(cropped.offsets.data);
  if (cropped.points.given()) {
    check_rows(check, "out.points", cropped.points, clouds.points.dtype, {&room, 3}, device);
    args.points = cropped.points.data;
  }
  if (cropped.features.given()) {
    if (!args.clouds.has_features) {
      check.fail("features", "not given", "an array as points, with F columns", "out.features is");
    }
    check_rows(check, "out.features", cropped.features, clouds.features.dtype, {&room, args.clouds.columns}, device);
    if (args.clouds.columns > 0) args.features = cropped.features.data;
  }
  if (cropped.index.given()) {
    check_rows(check, "out.index", cropped.index, DType::i64, {&room}, device);
    args.index = static_cast<std::int64_t*>(cropped.index.data);
  }
  args.room = std::max<std::int64_t>(0, room.value);
  return args;
}

/// What a camera's matrix cannot be is mostly one that was transposed, or that is a projection's.
void check_intrinsics(const Check& check, const DepthToPointsArgs& args) {
  const std::int64_t cameras = args.intrinsics.batch == 0 ? std::min<std::int64_t>(1, args.images) : args.images;
  for (std::int64_t b = 0; b < cameras; ++b) {
    const std::string of = cameras > 1 ? " of image " + std::to_string(b) : "";
    const auto at = [&](int i, int j) { return args.intrinsic(b, i, j); };
    if (at(0, 1) != 0 || at(1, 0) != 0 || at(2, 0) != 0 || at(2, 1) != 0 || at(2, 2) != 1) {
      check.fail("intrinsics", "no pinhole camera's" + of, "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]");
    }
    const Pinhole<float> camera = args.camera<float>(b);
    if (camera.fx != 0 && camera.fy != 0 && std::isfinite(camera.fx) && std::isfinite(camera.fy) &&
        std::isfinite(camera.cx) && std::isfinite(camera.cy)) {
      continue;
    }
    check.fail("intrinsics",
               "fx=" + number_text(at(0, 0)) + ", fy=" + number_text(at(1, 1)) + ", cx=" + number_text(at(0, 2)) +
                   ", cy=" + number_text(at(1, 2)) + of,
               "finite numbers of float32, fx and fy not 0");
  }
}

void read_range(const Check& check, const DepthImages& images, DepthToPointsArgs& args) {
  args.depth_scale = images.depth_scale.value_or(images.depth.dtype == DType::u16 ? 0.001 : 1);
  args.max_depth_m = images.max_depth_m;
  const bool wide = images.depth.dtype == DType::f64;
  const double used = wide ? args.depth_scale : static_cast<float>(args.depth_scale);  // 0 would make no pixel valid
  if (!(used > 0 && std::isfinite(used))) {
    check.fail("depth_scale", number_text(args.depth_scale),
               std::string("metres of one unit of depth, more than 0 in ") + (wide ? "float64" : "float32"));
  }
  if (!(args.max_depth_m > 0)) check.fail("max_depth_m", number_text(args.max_depth_m), "metres, more than 0");
}

DepthToPointsArgs read_images(const Check& check, const DepthImages& images) {
  DepthToPointsArgs args;
  const ConstTensor& depth = images.depth;
  check.dtype("depth", depth, DepthDTypes{});
  if (depth.rank != 2 && depth.rank != 3) check.fail("depth", shape_text(depth), "[H, W] or [B, H, W]");
  args.images = depth.rank == 3 ? depth.shape[0] : 1;
  args.height = depth.shape[depth.rank - 2];
  args.width = depth.shape[depth.rank - 1];
  args.depth = rows_of(depth);
  check.dtype("intrinsics", images.intrinsics, TransformDTypes{});
  check.device("intrinsics", images.intrinsics, depth.device);
  if (images.intrinsics.rank == 3 && depth.rank == 3) {
    check.shape("intrinsics", images.intrinsics, {args.images, 3, 3});
  } else {
    check.shape("intrinsics", images.intrinsics, {3, 3});
  }
  args.intrinsics = rows_of(images.intrinsics);
  args.transforms = read_transform(check, images.transform, depth.device, depth.rank == 3 ? args.images : -1);
  read_range(check, images, args);
  return args;
}

void write_images(const Check& check, const ConstTensor& depth, const Tensor& points, const Tensor& valid,
                  DepthToPointsArgs& args) {
  const DType dtype = depth.dtype == DType::f64 ? DType::f64 : DType::f32;
  if (depth.rank == 3) {
    check_rows(check, "points", points, dtype, {args.images, args.height, args.width, 3}, depth.device);
  } else {
    check_rows(check, "points", points, dtype, {args.height, args.width, 3}, depth.device);
  }
  args.points = points.data;
  if (!valid.given()) return;
  if (depth.rank == 3) {
    check_rows(check, "valid", valid, DType::boolean, {args.images, args.height, args.width}, depth.device);
  } else {
    check_rows(check, "valid", valid, DType::boolean, {args.height, args.width}, depth.device);
  }
  args.valid = static_cast<bool*>(valid.data);
}

}  // namespace

void transform_points(const Clouds& clouds, const Tensor& out, const Context& ctx) {
  const Check check{"transform_points"};
  if (!clouds.transform.given()) check.fail("transform", "not given", "[4, 4] or [B, 4, 4]");
  TransformPointsArgs args{.clouds = read_clouds(check, clouds)};
  if (!std::ranges::equal(out.sizes(), clouds.points.sizes())) {
    check.fail("out", shape_text(out), shape_text(clouds.points) + " as points");
  }
  check.dtype("out", out, clouds.points.dtype);
  check.device("out", out, clouds.points.device);
  if (out.numel() == 0) return;
  const PointRows rows = rows_of(out);
  args.out = out.data;
  args.out_batch = rows.batch, args.out_row = rows.row, args.out_column = rows.column;
  const Device device = clouds.points.device;
  run_on(
      device, "transform_points", [&]<Isa isa>() { cpu::transform_points<isa>(args, ctx); },
      [&] { cuda::transform_points(args, ctx); });
}

void crop(const Clouds& clouds, const Box& box, const Cropped& cropped, const Context& ctx) {
  const Check check{"crop"};
  check_box(check, box);
  CropArgs args = read_cropped(check, clouds, cropped);
  args.box = box;
  const Device device = clouds.points.device;
  run_on(device, "crop", [&]<Isa isa>() { cpu::crop<isa>(args, ctx); }, [&] { cuda::crop(args, ctx); });
}

void depth_to_points(const DepthImages& images, const Tensor& points, const Tensor& valid, const Context& ctx) {
  const Check check{"depth_to_points"};
  DepthToPointsArgs args = read_images(check, images);
  const Device device = images.depth.device;
  if (device.kind == DeviceKind::cpu) check_intrinsics(check, args);
  write_images(check, images.depth, points, valid, args);
  if (points.numel() == 0) return;
  run_on(
      device, "depth_to_points", [&]<Isa isa>() { cpu::depth_to_points<isa>(args, ctx); },
      [&] { cuda::depth_to_points(args, ctx); });
}

}  // namespace robocache
