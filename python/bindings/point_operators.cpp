#include "robocache/point_operators.hpp"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "array.hpp"
#include "bindings.hpp"
#include "output.hpp"
#include "point_operators_doc.hpp"
#include "voxelize_arguments.hpp"

namespace robocache::python {

namespace {

std::optional<double> to_metres(const char* op, const char* subject, nb::handle given) {
  if (given.is_none()) return std::nullopt;
  return to_number(op, subject, given, given, "a number");
}

nb::object transform_points_array(const nb::object& points, const nb::object& transform, const nb::object& lengths,
                                  const nb::object& offsets, const nb::object& out) {
  PointsCall call("transform_points", points);
  const Clouds clouds = call.borrow_clouds(points, nb::none(), lengths, offsets, transform);
  nb::object result = out;
  const Tensor view = out.is_none()
                          ? call.make(clouds.points.sizes(), clouds.points.dtype, clouds.points.device, result)
                          : call.borrow_output("out", out);
  {
    const nb::gil_scoped_release release;
    transform_points(clouds, view, {.stream = call.stream()});
  }
  wait_if_unordered(call, clouds.points.device);
  if (out.is_none()) call.hand_over(result);
  return result;
}

struct CropResult {
  nb::object points, features, index, offsets;
};

CropResult crop_arrays(const nb::object& points, const nb::object& low, const nb::object& high,
                       const nb::object& features, const nb::object& lengths, const nb::object& offsets,
                       const nb::object& transform) {
  Box box;
  to_three("crop", "low", low, "3 numbers", box.low);
  to_three("crop", "high", high, "3 numbers", box.high);
  PointsCall call("crop", points);
  const Clouds clouds = call.borrow_clouds(points, features, lengths, offsets, transform);
  const auto run = [&](const Cropped& cropped) {
    const nb::gil_scoped_release release;
    crop(clouds, box, cropped, {.stream = call.stream()});
  };
  CropResult result;
  const Device device = clouds.points.device;
  const std::int64_t batch = clouds.offsets.given()    ? std::max<std::int64_t>(1, clouds.offsets.shape[0]) - 1
                             : clouds.points.rank == 3 ? clouds.points.shape[0]
                                                       : 1;
  Cropped cropped{.offsets = call.make({{batch + 1}}, DType::i64, device, result.offsets)};
  run(cropped);
  const std::int64_t kept = last_of(call, cropped.offsets);
  cropped.points = call.make({{kept, 3}}, clouds.points.dtype, device, result.points);
  cropped.index = call.make({{kept}}, DType::i64, device, result.index);
  result.features = nb::none();
  if (clouds.features.given()) {
    const std::int64_t columns = clouds.features.shape[clouds.features.rank - 1];
    cropped.features = call.make({{kept, columns}}, clouds.features.dtype, device, result.features);
  }
  run(cropped);
  wait_if_unordered(call, device);
  for (nb::object* array : {&result.points, &result.index, &result.offsets}) call.hand_over(*array);
  if (clouds.features.given()) call.hand_over(result.features);
  return result;
}

struct DepthPoints {
  nb::object points, valid;
};

DepthPoints depth_to_points_arrays(const nb::object& depth, const nb::object& intrinsics, const nb::object& depth_scale,
                                   const nb::object& transform, const nb::object& max_depth_m) {
  const char* const op = "depth_to_points";
  PointsCall call(op, depth, "depth");
  DepthImages images{.depth = call.borrow_input("depth", depth),
                     .intrinsics = call.borrow_input("intrinsics", intrinsics),
                     .transform = call.borrow_option("transform", transform),
                     .depth_scale = to_metres(op, "depth_scale", depth_scale)};
  images.max_depth_m = to_metres(op, "max_depth_m", max_depth_m).value_or(images.max_depth_m);
  const ConstTensor& image = images.depth;
  std::vector<std::int64_t> shape(image.sizes().begin(), image.sizes().end());
  DepthPoints result;
  const Tensor valid = call.make(shape, DType::boolean, image.device, result.valid);
  if (shape.size() < kMaxRank)
    shape.push_back(3);  // More axes than a tensor has are depth's mistake, which the call names.
  const Tensor points =
      call.make(shape, image.dtype == DType::f64 ? DType::f64 : DType::f32, image.device, result.points);
  {
    const nb::gil_scoped_release release;
    depth_to_points(images, points, valid, {.stream = call.stream()});
  }
  wait_if_unordered(call, image.device);
  call.hand_over(result.points);
  call.hand_over(result.valid);
  return result;
}

}  // namespace

void bind_point_operators(nb::module_& m) {
  m.def("transform_points", &transform_points_array, nb::arg("points").none(), nb::arg("transform").none(),
        nb::kw_only(), nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(), nb::arg("out") = nb::none(),
        nb::sig(kTransformPointsSignature), kTransformPointsDoc);
  nb::class_<CropResult>(m, "CropResult", kCropResultDoc)
      .def_ro("points", &CropResult::points, nb::for_getter(nb::sig("def points(self) -> typing.Any")),
              "Array [M, 3] as the input: the points inside, in their order.")
      .def_ro("features", &CropResult::features, nb::for_getter(nb::sig("def features(self) -> typing.Any")),
              "Array [M, F] as the input, or None.")
      .def_ro("index", &CropResult::index, nb::for_getter(nb::sig("def index(self) -> typing.Any")),
              "int64 array [M]: the row of each in points.reshape(-1, 3).")
      .def_ro("offsets", &CropResult::offsets, nb::for_getter(nb::sig("def offsets(self) -> typing.Any")),
              "int64 array [B+1]: cloud b is rows offsets[b] .. offsets[b+1]-1; [0, M] of a single cloud.");
  m.def("crop", &crop_arrays, nb::arg("points").none(), nb::arg("low").none(), nb::arg("high").none(), nb::kw_only(),
        nb::arg("features") = nb::none(), nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(),
        nb::arg("transform") = nb::none(), nb::sig(kCropSignature), kCropDoc);
  nb::class_<DepthPoints>(m, "DepthPoints", kDepthPointsDoc)
      .def_ro("points", &DepthPoints::points, nb::for_getter(nb::sig("def points(self) -> typing.Any")),
              "Array [B, H, W, 3] or [H, W, 3]: NaN where the depth is not valid.")
      .def_ro("valid", &DepthPoints::valid, nb::for_getter(nb::sig("def valid(self) -> typing.Any")),
              "bool array [B, H, W] or [H, W].");
  m.def("depth_to_points", &depth_to_points_arrays, nb::arg("depth").none(), nb::arg("intrinsics").none(),
        nb::kw_only(), nb::arg("depth_scale") = nb::none(), nb::arg("transform") = nb::none(),
        nb::arg("max_depth_m") = nb::none(), nb::sig(kDepthToPointsSignature), kDepthToPointsDoc);
}

}  // namespace robocache::python
