#include "robocache/voxelize.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "array.hpp"
#include "bindings.hpp"
#include "core/build.hpp"
#include "cuda/device_guard.hpp"
#include "voxelize_arguments.hpp"
#include "voxelize_doc.hpp"

namespace robocache::python {

namespace {

const char* const kOp = "voxelize";

struct VoxelizeResult {
  std::vector<std::string> names;
  std::vector<nb::object> arrays;
  nb::object dropped;

  [[nodiscard]] nb::object values() const {
    if (arrays.size() == 1) return arrays[0];
    throw InvalidArgument("voxelize: values is of " + std::to_string(arrays.size()) +
                          " reductions, expected one; take result['" + names[0] + "'] ...");
  }

  [[nodiscard]] nb::object at(const std::string& name) const {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) throw nb::key_error(name.c_str());
    return arrays[static_cast<std::size_t>(found - names.begin())];
  }
};

/// The shape of a result; empty where the inputs are too wrong to say, which voxelize then does.
std::vector<std::int64_t> result_shape(const Clouds& clouds, const VoxelGrid& grid, Reduce reduce) {
  std::vector<std::int64_t> shape;
  if (clouds.offsets.given()) {
    shape.push_back(std::max<std::int64_t>(0, clouds.offsets.shape[0] - 1));
  } else if (clouds.points.rank == 3) {
    shape.push_back(clouds.points.shape[0]);
  }
  const bool usable =
      std::ranges::all_of(grid.shape, [](std::int64_t size) { return size >= 0 && size <= kMostVoxelsOfAxis; });
  for (std::int64_t size : grid.shape) shape.push_back(usable ? size : 0);
  if (reduce == Reduce::occupancy_bits) shape.back() = (shape.back() + 7) / 8;
  if (needs_features(reduce))
    shape.push_back(clouds.features.rank > 0 ? clouds.features.shape[clouds.features.rank - 1] : 0);
  return shape;
}

DType result_dtype(const Clouds& clouds, Reduce reduce) {
  if (reduce == Reduce::count) return DType::i32;
  if (reduce == Reduce::occupancy) return DType::boolean;
  return reduce == Reduce::occupancy_bits ? DType::u8 : clouds.features.dtype;
}

double empty_of(const nb::object& empty, const std::string& name) {
  const char* const want = "a number, or a dict of a number for each reduction";
  if (!nb::isinstance<nb::dict>(empty)) return to_number(kOp, "empty", empty, empty, want);
  double number = 0;
  for (auto [key, value] : nb::borrow<nb::dict>(empty)) {
    std::string of;
    if (!nb::try_cast(key, of)) reject(kOp, "empty", empty, want);
    to_reduce(kOp, of);
    const double given = to_number(kOp, "empty", value, empty, want);
    if (of == name) number = given;
  }
  return number;
}

VoxelizeResult voxelize_arrays(const nb::object& points, const nb::object& features, const nb::object& voxel_m,
                               const nb::object& origin, const nb::object& shape, const nb::object& reduce,
                               const nb::object& empty, const nb::object& lengths, const nb::object& offsets,
                               const nb::object& transform) {
  VoxelizeResult result{reduction_names(kOp, reduce), {}, {}};
  if (result.names.empty()) reject(kOp, "reduce", reduce, "the name of a reduction, or a sequence of them");
  const VoxelGrid grid = to_grid(kOp, voxel_m, origin, shape);
  PointsCall call(kOp, points);
  Clouds clouds = call.borrow_clouds(points, features, lengths, offsets, transform);
  const bool reduces =
      std::ranges::any_of(result.names, [](const auto& name) { return needs_features(to_reduce(kOp, name)); });
  if (reduces) clouds.features = or_points(kOp, clouds.features, clouds);
  std::vector<Voxels> voxels;
  result.arrays.resize(result.names.size());
  for (std::size_t i = 0; i < result.names.size(); ++i) {
    const Reduce what = to_reduce(kOp, result.names[i]);
    const Tensor out =
        call.make(result_shape(clouds, grid, what), result_dtype(clouds, what), clouds.points.device, result.arrays[i]);
    voxels.push_back({what, out, empty_of(empty, result.names[i])});
  }
  std::vector<std::int64_t> clouds_shape = result_shape(clouds, grid, Reduce::count);
  clouds_shape.resize(clouds_shape.size() - 3);
  const Tensor dropped = call.make(clouds_shape, DType::i64, clouds.points.device, result.dropped);
  {
    const nb::gil_scoped_release release;
    voxelize(clouds, grid, voxels, dropped, {.stream = call.stream()});
    if constexpr (build::cuda) {
      if (call.unordered()) cuda::synchronize(clouds.points.device.index, call.stream());
    }
  }
  for (nb::object& array : result.arrays) call.hand_over(array);
  call.hand_over(result.dropped);
  return result;
}

}  // namespace

void bind_voxelize(nb::module_& m) {
  nb::class_<VoxelizeResult>(m, "VoxelizeResult", kVoxelizeResultDoc)
      .def_prop_ro("values", &VoxelizeResult::values, nb::for_getter(nb::sig("def values(self) -> typing.Any")),
                   "The only result; raises where several were asked for.")
      .def_ro("dropped", &VoxelizeResult::dropped, nb::for_getter(nb::sig("def dropped(self) -> typing.Any")),
              "int64 array [B] or []: points of each cloud that are in no voxel.")
      .def_ro("reductions", &VoxelizeResult::names, nb::for_getter(nb::sig("def reductions(self) -> list[str]")),
              "What was asked for.")
      .def("__getitem__", &VoxelizeResult::at, nb::arg("reduction"),
           nb::sig("def __getitem__(self, reduction: str) -> typing.Any"), "The result of one reduction.");
  m.def(kOp, &voxelize_arrays, nb::arg("points"), nb::arg("features") = nb::none(), nb::kw_only(), nb::arg("voxel_m"),
        nb::arg("origin"), nb::arg("shape"), nb::arg("reduce") = "count", nb::arg("empty") = 0.0,
        nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(), nb::arg("transform") = nb::none(),
        nb::sig(kVoxelizeSignature), kVoxelizeDoc);
}

}  // namespace robocache::python
