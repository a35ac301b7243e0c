#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "array.hpp"
#include "output.hpp"
#include "robocache/voxelize.hpp"

// Arguments of the functions on points. `op` names the function in errors.
namespace robocache::python {

/// Throws InvalidArgument: `subject` is what Python prints for `got`.
[[noreturn]] void reject(const char* op, const char* subject, nb::handle got, const char* want);

/// `all` is what an error prints: the argument that `given` is a part of.
double to_number(const char* op, const char* subject, nb::handle given, nb::handle all, const char* want);

/// 3 numbers.
void to_three(const char* op, const char* subject, nb::handle given, const char* want, double (&numbers)[3]);

/// A number, or 3 of them.
void to_voxel_m(const char* op, nb::handle given, double (&voxel_m)[3]);

VoxelGrid to_grid(const char* op, nb::handle voxel_m, nb::handle origin, nb::handle shape);

Reduce to_reduce(const char* op, std::string_view text);

/// One name, or a sequence of them, maybe of none; all known.
std::vector<std::string> reduction_names(const char* op, const nb::object& reduce);

/// `name in names`, for any object.
bool contains(const std::vector<std::string>& names, nb::handle name);

/// Features to reduce: `features`, or the points where those are None and nothing is said against it.
ConstTensor or_points(const char* op, const ConstTensor& features, const Clouds& clouds);

/// One call from Python: borrows the inputs, makes the results as arrays like the first of them.
class PointsCall {
 public:
  PointsCall(const char* op, const nb::object& first, const char* subject = "points");

  ConstTensor borrow_input(const char* subject, nb::handle array);

  /// Not given for None.
  ConstTensor borrow_option(const char* subject, nb::handle array) {
    return array.is_none() ? ConstTensor{} : borrow_input(subject, array);
  }

  Clouds borrow_clouds(nb::handle points, nb::handle features, nb::handle lengths, nb::handle offsets,
                       nb::handle transform);

  /// An array that is to be written.
  Tensor borrow_output(const char* subject, nb::handle array);

  /// A result, which hand_over() turns into an array of the caller's library once it is written.
  Tensor make(std::span<const std::int64_t> shape, DType dtype, Device device, nb::object& array) const;
  void hand_over(nb::object& array) const { array = deliver(op_, like_, std::move(array)); }

  [[nodiscard]] void* stream() const { return stream_; }
  [[nodiscard]] bool unordered() const { return unordered_; }

 private:
  const char* op_;
  nb::object like_;
  void* stream_ = nullptr;
  Loans loans_;
  bool unordered_ = false;
};

/// On CUDA ordered on the stream of the call.
void copy(const PointsCall& call, void* to, const void* from, std::size_t bytes, Device device);

/// For what a call on CUDA has ordered; on the CPU it is there.
void wait(const PointsCall& call, Device device);

/// For libraries whose own work knows nothing of the stream.
void wait_if_unordered(const PointsCall& call, Device device);

/// The last of `offsets` [B + 1] i64: how many rows there are in all. Waits for the device.
std::int64_t last_of(const PointsCall& call, const Tensor& offsets);

}  // namespace robocache::python
