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
#include "output.hpp"
#include "voxelize_doc.hpp"

namespace robocache::python {

namespace {

const char* const kOp = "voxelize";

Reduce to_reduce(std::string_view text) {
  std::string known;
  for (Reduce reduce = Reduce::count; reduce <= Reduce::last;
       reduce = static_cast<Reduce>(static_cast<int>(reduce) + 1)) {
    if (name(reduce) == text) return reduce;
    known += (known.empty() ? "'" : ", '") + std::string(name(reduce)) + "'";
  }
  throw InvalidArgument("voxelize: reduce is '" + std::string(text) + "', expected one of " + known);
}

bool is_text(nb::handle object) { return nb::isinstance<nb::str>(object); }

[[noreturn]] void reject(const char* subject, nb::handle got, const char* want) {
  const nb::object text = nb::steal(PyObject_ASCII(got.ptr()));
  if (!text.is_valid()) throw nb::python_error();
  throw InvalidArgument(std::string("voxelize: ") + subject + " is " + nb::cast<std::string>(text) + ", expected " +
                        want);
}

double to_number(const char* subject, nb::handle given, nb::handle all, const char* want) {
  const double v = PyFloat_AsDouble(given.ptr());
  if (v != -1 || PyErr_Occurred() == nullptr) return v;
  PyErr_Clear();
  reject(subject, all, want);
}

/// -1 for what has no length; texts, dicts and sets have none here.
Py_ssize_t length_of(nb::handle given) {
  if (is_text(given) || PyDict_Check(given.ptr()) || PyAnySet_Check(given.ptr())) return -1;
  const Py_ssize_t length = PyObject_Size(given.ptr());
  if (length < 0) PyErr_Clear();  // an array without axes
  return length;
}

void to_three(const char* subject, nb::handle given, const char* want, double (&numbers)[3]) {
  if (length_of(given) != 3) reject(subject, given, want);
  for (int i = 0; i < 3; ++i) numbers[i] = to_number(subject, given[i], given, want);
}

VoxelGrid to_grid(nb::handle voxel_m, nb::handle origin, nb::handle shape) {
  VoxelGrid grid;
  to_three("origin", origin, "3 numbers", grid.origin);
  if (length_of(voxel_m) >= 0) {
    to_three("voxel_m", voxel_m, "a number or 3 of them", grid.voxel_m);
  } else {
    std::ranges::fill(grid.voxel_m, to_number("voxel_m", voxel_m, voxel_m, "a number or 3 of them"));
  }
  const char* const want = "3 whole numbers of voxels";
  if (length_of(shape) != 3) reject("shape", shape, want);
  for (int i = 0; i < 3; ++i) {
    const nb::object size = nb::steal(PyNumber_Index(nb::object(shape[i]).ptr()));
    grid.shape[i] = size.is_valid() ? PyLong_AsLongLong(size.ptr()) : 0;
    if (PyErr_Occurred() == nullptr) continue;
    PyErr_Clear();
    reject("shape", shape, want);
  }
  return grid;
}

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

/// One call from Python: borrows the inputs, makes the results, runs without the GIL.
class Call {
 public:
  explicit Call(const nb::object& points) : like_(points) {
    int index = 0;
    if (on_cuda(points, kOp, "points", index)) stream_ = current_stream(points, index);
  }

  ConstTensor borrow_input(const char* subject, nb::handle array) {
    if (array.is_none()) return {};
    const Borrowed borrowed = borrow(array, kOp, subject, stream_, loans_);
    unordered_ = unordered_ || borrowed.unordered;
    return borrowed.view;
  }

  Tensor make(std::span<const std::int64_t> shape, DType dtype, Device device, nb::object& array) {
    Fresh fresh = new_array(kOp, like_, shape, dtype, device, stream_);
    array = std::move(fresh.array);
    return fresh.view;
  }

  void run(const Clouds& clouds, const VoxelGrid& grid, std::span<const Voxels> voxels, const Tensor& dropped) const {
    const nb::gil_scoped_release release;
    voxelize(clouds, grid, voxels, dropped, {.stream = stream_});
    if constexpr (build::cuda) {
      if (unordered_) cuda::synchronize(clouds.points.device.index, stream_);
    }
  }

  void hand_over(nb::object& array) const { array = deliver(kOp, like_, std::move(array)); }

 private:
  nb::object like_;
  void* stream_ = nullptr;
  Loans loans_;
  bool unordered_ = false;
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

std::vector<std::string> reduction_names(const nb::object& reduce) {
  const char* const want = "the name of a reduction, or a sequence of them";
  std::vector<std::string> names;
  if (is_text(reduce)) {
    names.resize(1);
    if (!nb::try_cast(reduce, names[0])) reject("reduce", reduce, want);
  } else if (!nb::try_cast(reduce, names) || names.empty()) {
    reject("reduce", reduce, want);
  }
  for (const std::string& name : names) to_reduce(name);
  return names;
}

double empty_of(const nb::object& empty, const std::string& name) {
  const char* const want = "a number, or a dict of a number for each reduction";
  if (!nb::isinstance<nb::dict>(empty)) return to_number("empty", empty, empty, want);
  double number = 0;
  for (auto [key, value] : nb::borrow<nb::dict>(empty)) {
    std::string of;
    if (!nb::try_cast(key, of)) reject("empty", empty, want);
    to_reduce(of);
    const double given = to_number("empty", value, empty, want);
    if (of == name) number = given;
  }
  return number;
}

VoxelizeResult voxelize_arrays(const nb::object& points, const nb::object& features, const nb::object& voxel_m,
                               const nb::object& origin, const nb::object& shape, const nb::object& reduce,
                               const nb::object& empty, const nb::object& lengths, const nb::object& offsets,
                               const nb::object& transform) {
  VoxelizeResult result{reduction_names(reduce), {}, {}};
  const VoxelGrid grid = to_grid(voxel_m, origin, shape);
  Call call(points);
  Clouds clouds{.points = call.borrow_input("points", points),
                .features = call.borrow_input("features", features),
                .lengths = call.borrow_input("lengths", lengths),
                .offsets = call.borrow_input("offsets", offsets),
                .transform = call.borrow_input("transform", transform)};
  const bool reduces =
      std::ranges::any_of(result.names, [](const auto& name) { return needs_features(to_reduce(name)); });
  if (reduces && features.is_none()) {
    if (!transform.is_none()) {
      throw InvalidArgument(
          "voxelize: features is None beside a transform, expected an array: points are reduced in their "
          "own frame or in the grid's, which one is not said; hint: features=points");
    }
    clouds.features = clouds.points;
  }
  std::vector<Voxels> voxels;
  result.arrays.resize(result.names.size());
  for (std::size_t i = 0; i < result.names.size(); ++i) {
    const Reduce what = to_reduce(result.names[i]);
    const Tensor out =
        call.make(result_shape(clouds, grid, what), result_dtype(clouds, what), clouds.points.device, result.arrays[i]);
    voxels.push_back({what, out, empty_of(empty, result.names[i])});
  }
  std::vector<std::int64_t> clouds_shape = result_shape(clouds, grid, Reduce::count);
  clouds_shape.resize(clouds_shape.size() - 3);
  const Tensor dropped = call.make(clouds_shape, DType::i64, clouds.points.device, result.dropped);
  call.run(clouds, grid, voxels, dropped);
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
