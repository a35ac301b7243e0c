#include "voxelize_arguments.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>

#include "core/build.hpp"
#include "cuda/device_guard.hpp"

namespace robocache::python {

namespace {

bool is_text(nb::handle object) { return nb::isinstance<nb::str>(object); }

/// -1 for what has no length; texts, dicts and sets have none here.
Py_ssize_t length_of(nb::handle given) {
  if (is_text(given) || PyDict_Check(given.ptr()) || PyAnySet_Check(given.ptr())) return -1;
  const Py_ssize_t length = PyObject_Size(given.ptr());
  if (length < 0) PyErr_Clear();  // an array without axes
  return length;
}

}  // namespace

void reject(const char* op, const char* subject, nb::handle got, const char* want) {
  const nb::object text = nb::steal(PyObject_ASCII(got.ptr()));
  if (!text.is_valid()) throw nb::python_error();
  throw InvalidArgument(std::string(op) + ": " + subject + " is " + nb::cast<std::string>(text) + ", expected " + want);
}

double to_number(const char* op, const char* subject, nb::handle given, nb::handle all, const char* want) {
  const double v = PyFloat_AsDouble(given.ptr());
  if (v != -1 || PyErr_Occurred() == nullptr) return v;
  PyErr_Clear();
  reject(op, subject, all, want);
}

void to_three(const char* op, const char* subject, nb::handle given, const char* want, double (&numbers)[3]) {
  if (length_of(given) != 3) reject(op, subject, given, want);
  for (int i = 0; i < 3; ++i) numbers[i] = to_number(op, subject, given[i], given, want);
}

void to_voxel_m(const char* op, nb::handle given, double (&voxel_m)[3]) {
  const char* const want = "a number or 3 of them";
  if (length_of(given) >= 0) return to_three(op, "voxel_m", given, want, voxel_m);
  std::ranges::fill(voxel_m, to_number(op, "voxel_m", given, given, want));
}

VoxelGrid to_grid(const char* op, nb::handle voxel_m, nb::handle origin, nb::handle shape) {
  VoxelGrid grid;
  to_three(op, "origin", origin, "3 numbers", grid.origin);
  to_voxel_m(op, voxel_m, grid.voxel_m);
  const char* const want = "3 whole numbers of voxels";
  if (length_of(shape) != 3) reject(op, "shape", shape, want);
  for (int i = 0; i < 3; ++i) {
    const nb::object size = nb::steal(PyNumber_Index(nb::object(shape[i]).ptr()));
    grid.shape[i] = size.is_valid() ? PyLong_AsLongLong(size.ptr()) : 0;
    if (PyErr_Occurred() == nullptr) continue;
    PyErr_Clear();
    reject(op, "shape", shape, want);
  }
  return grid;
}

Reduce to_reduce(const char* op, std::string_view text) {
  std::string known;
  for (Reduce reduce = Reduce::count; reduce <= Reduce::last;
       reduce = static_cast<Reduce>(static_cast<int>(reduce) + 1)) {
    if (name(reduce) == text) return reduce;
    known += (known.empty() ? "'" : ", '") + std::string(name(reduce)) + "'";
  }
  throw InvalidArgument(std::string(op) + ": reduce is '" + std::string(text) + "', expected one of " + known);
}

std::vector<std::string> reduction_names(const char* op, const nb::object& reduce) {
  const char* const want = "the name of a reduction, or a sequence of them";
  std::vector<std::string> names;
  if (is_text(reduce)) {
    names.resize(1);
    if (!nb::try_cast(reduce, names[0])) reject(op, "reduce", reduce, want);
  } else if (!nb::try_cast(reduce, names)) {
    reject(op, "reduce", reduce, want);
  }
  for (const std::string& name : names) to_reduce(op, name);
  return names;
}

bool contains(const std::vector<std::string>& names, nb::handle name) {
  std::string text;
  return is_text(name) && nb::try_cast(name, text) && std::ranges::find(names, text) != names.end();
}

ConstTensor or_points(const char* op, const ConstTensor& features, const Clouds& clouds) {
  if (features.given()) return features;
  if (!clouds.transform.given()) return clouds.points;
  throw InvalidArgument(std::string(op) +
                        ": features is None beside a transform, expected an array: points are reduced in their own "
                        "frame or in the grid's, which one is not said; hint: features=points");
}

PointsCall::PointsCall(const char* op, const nb::object& first, const char* subject) : op_(op), like_(first) {
  int index = 0;
  if (on_cuda(first, op, subject, index)) stream_ = current_stream(first, index);
}

ConstTensor PointsCall::borrow_input(const char* subject, nb::handle array) {
  const Borrowed borrowed = borrow(array, op_, subject, stream_, loans_);
  unordered_ = unordered_ || borrowed.unordered;
  return borrowed.view;
}

Clouds PointsCall::borrow_clouds(nb::handle points, nb::handle features, nb::handle lengths, nb::handle offsets,
                                 nb::handle transform) {
  return {.points = borrow_input("points", points),
          .features = borrow_option("features", features),
          .lengths = borrow_option("lengths", lengths),
          .offsets = borrow_option("offsets", offsets),
          .transform = borrow_option("transform", transform)};
}

Tensor PointsCall::borrow_output(const char* subject, nb::handle array) {
  const std::string start = std::string(op_) + ": " + subject;
  const Borrowed borrowed = borrow(array, op_, subject, stream_, loans_);
  for (int i = 0; i < borrowed.view.rank; ++i) {
    if (borrowed.view.strides[i] == 0 && borrowed.view.shape[i] > 1) {
      throw InvalidArgument(start + " is expanded (stride 0), expected memory of its own for each element");
    }
  }
  if (borrowed.writable) return borrowed.view;
  throw InvalidArgument(start + " is read-only or a jax array, expected a writable array");
}

Tensor PointsCall::make(std::span<const std::int64_t> shape, DType dtype, Device device, nb::object& array) const {
  Fresh fresh = new_array(op_, like_, shape, dtype, device, stream_);
  array = std::move(fresh.array);
  return fresh.view;
}

void copy(const PointsCall& call, void* to, const void* from, std::size_t bytes, Device device) {
  if (bytes == 0) return;
  if (device.kind == DeviceKind::cpu) {
    std::memcpy(to, from, bytes);
  } else if constexpr (build::cuda) {
    cuda::copy(to, from, bytes, device.index, call.stream());
  }
}

void wait(const PointsCall& call, Device device) {
  if constexpr (build::cuda) {
    if (device.kind != DeviceKind::cuda) return;
    const nb::gil_scoped_release release;  // What the stream still has to do may need it.
    cuda::synchronize(device.index, call.stream());
  }
}

void wait_if_unordered(const PointsCall& call, Device device) {
  if (call.unordered()) wait(call, device);
}

std::int64_t last_of(const PointsCall& call, const Tensor& offsets) {
  std::int64_t last = 0;
  {
    const nb::gil_scoped_release release;  // A copy into pageable memory waits, too.
    copy(call, &last, static_cast<const std::int64_t*>(offsets.data) + offsets.shape[0] - 1, sizeof(last),
         offsets.device);
  }
  wait(call, offsets.device);
  return last;
}

}  // namespace robocache::python
