#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "array.hpp"
#include "robocache/align.hpp"

namespace robocache::python {

/// robocache.Stream: the arrays as given, the options parsed.
struct PyStream {
  PyStream(nb::object values, nb::object stamps, const nb::object& interp, nb::object outside,
           std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns, std::int64_t offset_ns,
           nb::object lengths, nb::object offsets, const nb::object& name);

  nb::object values, stamps, lengths, offsets;
  nb::object outside;  ///< as given, for the attribute
  std::string name;
  Stream options;  ///< without its tensors
};

void bind_stream(nb::module_& m);

/// A dtype given as a name, or as a numpy, torch or jax dtype object; None is no wish.
std::optional<DType> to_dtype_option(const nb::object& dtype);

/// The inputs of one call as views with every axis there: [B, S, D], [B, T]. A missing batch axis is added and
/// remembered; a stream without one in a batched call is shared by all batch rows (stride 0).
class AlignInputs {
 public:
  /// `columns` false: results of the single stream drop the feature axis when its values have none (resample).
  AlignInputs(std::string_view op, std::span<const PyStream* const> streams, nb::handle at, bool columns);

  [[nodiscard]] std::span<const Stream> streams() const { return streams_; }
  [[nodiscard]] const Targets& targets() const { return targets_; }
  [[nodiscard]] Device device() const { return device_; }
  [[nodiscard]] void* cuda_stream() const { return cuda_stream_; }

  /// The shape of a result with `columns` columns, as the caller sees it.
  [[nodiscard]] std::vector<std::int64_t> result_shape(std::int64_t columns) const;
  /// A result as the operator wants it: [B, T, columns].
  [[nodiscard]] Tensor complete(Tensor view, std::string_view subject) const;
  [[nodiscard]] Tensor borrow_output(nb::handle array);

  /// A producer does not order its own work on our stream (jax): the call must be over before the loans are.
  [[nodiscard]] bool unordered() const { return unordered_; }
  void wait() const;

 private:
  ConstTensor borrow_input(nb::handle array, std::string_view subject);
  void add_axes(Stream& stream, const std::string& subject);

  std::string_view op_;
  Loans loans_;
  std::vector<Stream> streams_;
  Targets targets_{ConstTensor{}};
  Device device_{};
  void* cuda_stream_ = nullptr;
  std::int64_t batch_ = 1;
  bool batched_ = false;
  bool drop_columns_ = false;
  bool unordered_ = false;
};

}  // namespace robocache::python
