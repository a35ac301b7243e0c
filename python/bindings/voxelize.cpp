#include "robocache/voxelize_gradient.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
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
const char* const kGradient = "voxelize_gradient";
const char* const kPlan = "voxelize_plan_memory";

struct VoxelizeResult {
  std::vector<std::string> names;
  std::vector<nb::object> arrays;
  nb::object dropped;

  [[nodiscard]] nb::object values() const {
    if (arrays.size() == 1) return arrays[0];
    throw InvalidArgument("voxelize: values is of " + std::to_string(arrays.size()) +
                          " reductions, expected one; take result['" + names[0] + "'] ...");
  }

  [[nodiscard]] bool has(const nb::object& name) const { return contains(names, name); }

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

/// The arguments of a call, but for how it runs.
struct DenseCall {
  std::vector<std::string> names;
  std::vector<Reduce> reductions;
  VoxelGrid grid;
  PointsCall call;
  Clouds clouds;

  DenseCall(const char* op, const nb::object& points, const nb::object& features, const nb::object& voxel_m,
            const nb::object& origin, const nb::object& shape, const nb::object& reduce, const nb::object& lengths,
            const nb::object& offsets, const nb::object& transform)
      : names(reduction_names(op, reduce)), grid(to_grid(op, voxel_m, origin, shape)), call(op, points) {
    if (names.empty()) reject(op, "reduce", reduce, "the name of a reduction, or a sequence of them");
    clouds = call.borrow_clouds(points, features, lengths, offsets, transform);
    for (const std::string& name : names) reductions.push_back(to_reduce(op, name));
    if (std::ranges::any_of(reductions, needs_features)) clouds.features = or_points(op, clouds.features, clouds);
  }
};

/// What a limit on all that a call takes leaves for scratch.
std::int64_t max_scratch_of(const DenseCall& made, std::optional<std::int64_t> max_bytes) {
  if (!max_bytes.has_value()) return kNoMemoryLimit;
  const VoxelizeMemory memory = plan_memory(made.clouds, made.grid, made.reductions);
  if (*max_bytes >= memory.outputs && *max_bytes - memory.outputs >= memory.least_scratch) {
    return *max_bytes - memory.outputs;
  }
  throw OutOfMemory("voxelize: max_bytes is " + std::to_string(*max_bytes) + ", expected at least " +
                    std::to_string(memory.outputs) + " for the results and " + std::to_string(memory.least_scratch) +
                    " for scratch, the least that these clouds take");
}

VoxelizeMemory plan_memory_of(const nb::object& points, const nb::object& features, const nb::object& voxel_m,
                              const nb::object& origin, const nb::object& shape, const nb::object& reduce,
                              const nb::object& lengths, const nb::object& offsets, const nb::object& transform) {
  const DenseCall made(kPlan, points, features, voxel_m, origin, shape, reduce, lengths, offsets, transform);
  return plan_memory(made.clouds, made.grid, made.reductions);
}

VoxelizeResult voxelize_arrays(const nb::object& points, const nb::object& features, const nb::object& voxel_m,
                               const nb::object& origin, const nb::object& shape, const nb::object& reduce,
                               const nb::object& empty, const nb::object& lengths, const nb::object& offsets,
                               const nb::object& transform, std::optional<std::int64_t> max_bytes) {
  DenseCall made(kOp, points, features, voxel_m, origin, shape, reduce, lengths, offsets, transform);
  auto& [names, reductions, grid, call, clouds] = made;
  VoxelizeResult result{names, std::vector<nb::object>(names.size()), {}};
  const VoxelizeOptions options{max_scratch_of(made, max_bytes)};
  std::vector<Voxels> voxels;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Tensor out = call.make(result_shape(clouds, grid, reductions[i]), result_dtype(clouds, reductions[i]),
                                 clouds.points.device, result.arrays[i]);
    voxels.push_back({reductions[i], out, empty_of(empty, names[i])});
  }
  std::vector<std::int64_t> clouds_shape = result_shape(clouds, grid, Reduce::count);
  clouds_shape.resize(clouds_shape.size() - 3);
  const Tensor dropped = call.make(clouds_shape, DType::i64, clouds.points.device, result.dropped);
  {
    const nb::gil_scoped_release release;
    voxelize(clouds, grid, voxels, dropped, options, {.stream = call.stream()});
    if constexpr (build::cuda) {
      if (call.unordered()) cuda::synchronize(clouds.points.device.index, call.stream());
    }
  }
  for (nb::object& array : result.arrays) call.hand_over(array);
  call.hand_over(result.dropped);
  return result;
}

nb::object voxelize_gradient_arrays(const nb::object& points, const nb::object& features,
                                    const std::vector<nb::object>& grad_out, const nb::object& voxel_m,
                                    const nb::object& origin, const nb::object& shape, const nb::object& reduce,
                                    const nb::object& lengths, const nb::object& offsets, const nb::object& transform) {
  DenseCall made(kGradient, points, features, voxel_m, origin, shape, reduce, lengths, offsets, transform);
  auto& [names, reductions, grid, call, clouds] = made;
  if (grad_out.size() != names.size()) {
    throw InvalidArgument(std::string(kGradient) + ": grad_out is " + std::to_string(grad_out.size()) +
                          " arrays, expected one for each of " + std::to_string(names.size()) + " reductions");
  }
  std::vector<VoxelGradient> gradients;
  gradients.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    gradients.push_back({reductions[i], call.borrow_input("grad_out", grad_out[i])});
  }
  nb::object grad_features;
  const Tensor out = call.make(clouds.features.sizes(), clouds.features.dtype, clouds.points.device, grad_features);
  {
    const nb::gil_scoped_release release;
    voxelize_gradient(clouds, grid, gradients, out, {.stream = call.stream()});
    if constexpr (build::cuda) {
      if (call.unordered()) cuda::synchronize(clouds.points.device.index, call.stream());
    }
  }
  call.hand_over(grad_features);
  return grad_features;
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
           nb::sig("def __getitem__(self, reduction: str) -> typing.Any"), "The result of one reduction.")
      .def("__contains__", &VoxelizeResult::has, nb::arg("reduction"),
           nb::sig("def __contains__(self, reduction: object) -> bool"), "Whether it was asked for.");
  m.def(kOp, &voxelize_arrays, nb::arg("points"), nb::arg("features") = nb::none(), nb::kw_only(), nb::arg("voxel_m"),
        nb::arg("origin"), nb::arg("shape"), nb::arg("reduce") = "count", nb::arg("empty") = 0.0,
        nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(), nb::arg("transform") = nb::none(),
        nb::arg("max_bytes") = nb::none(), nb::sig(kVoxelizeSignature), kVoxelizeDoc);
  nb::class_<VoxelizeMemory>(m, "VoxelizeMemory", kVoxelizeMemoryDoc)
      .def_ro("outputs", &VoxelizeMemory::outputs, "The results, `dropped` among them.")
      .def_ro("scratch", &VoxelizeMemory::scratch,
              "What the call takes besides, at most, without `max_bytes`; on CUDA just that.")
      .def_ro("least_scratch", &VoxelizeMemory::least_scratch,
              "That of the largest cloud alone; on CUDA of all packed ones.");
  m.def(kPlan, &plan_memory_of, nb::arg("points"), nb::arg("features") = nb::none(), nb::kw_only(), nb::arg("voxel_m"),
        nb::arg("origin"), nb::arg("shape"), nb::arg("reduce") = "count", nb::arg("lengths") = nb::none(),
        nb::arg("offsets") = nb::none(), nb::arg("transform") = nb::none(), nb::sig(kVoxelizePlanMemorySignature),
        kVoxelizePlanMemoryDoc);
  m.def(kGradient, &voxelize_gradient_arrays, nb::arg("points"), nb::arg("features"), nb::arg("grad_out"),
        nb::kw_only(), nb::arg("voxel_m"), nb::arg("origin"), nb::arg("shape"), nb::arg("reduce"),
        nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(), nb::arg("transform") = nb::none(),
        nb::sig(kVoxelizeGradientSignature), kVoxelizeGradientDoc);
}

}  // namespace robocache::python
