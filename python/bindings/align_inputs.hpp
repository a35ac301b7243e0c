#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "array.hpp"
#include "core/check.hpp"
#include "robocache/align.hpp"
#include "stream.hpp"

namespace robocache::python {

/// What a plan says of the calls that it serves.
struct PlanShape {
  bool batched = false;
  int clock_rank = 1;  ///< of the stamps it was made for
  std::int64_t batch = 1, targets = 0;
};

/// The inputs of one call as views with every axis there: [B, S, D], [B, T]. A missing batch axis is added and
/// remembered; a stream without one in a batched call is shared by all batch rows (stride 0).
class AlignInputs {
 public:
  /// `columns` false: results of the single stream drop the feature axis when its values have none (resample).
  AlignInputs(std::string_view op, std::span<const PyStream* const> streams, nb::handle at, bool columns);

  /// Of a call that makes a plan: no values are looked at, results are marks [B, T].
  AlignInputs(std::string_view op, const PyStream& clock, nb::handle at);
  /// Of a call that applies a plan to the values of one stream.
  AlignInputs(std::string_view op, const PyStream& stream, const PlanShape& plan);

  [[nodiscard]] std::span<const Stream> streams() const { return streams_; }
  [[nodiscard]] const Targets& targets() const { return targets_; }
  [[nodiscard]] PlanShape shape() const { return {batched_, streams_[0].stamps.rank, batch_, count_}; }
  [[nodiscard]] Device device() const { return device_; }
  [[nodiscard]] void* cuda_stream() const { return cuda_stream_; }

  /// The shape of a result with `columns` columns, as the caller sees it.
  [[nodiscard]] std::vector<std::int64_t> result_shape(std::int64_t columns) const;
  /// A result as the operator wants it: [B, T, columns].
  template <class View>
  [[nodiscard]] View complete(View view, std::string_view subject) const;
  /// The shape that the values of stream i were given in.
  [[nodiscard]] std::span<const std::int64_t> values_shape(std::size_t i) const;
  /// An array of that shape as the operator wants it: with stride 0 in a batch that it does not have.
  [[nodiscard]] Tensor complete_values(Tensor view, std::size_t i) const;
  /// An array to be written, of `dtype` where one is asked for.
  [[nodiscard]] Tensor borrow_output(nb::handle array, std::optional<DType> dtype);
  /// Any other array on the device of the call.
  ConstTensor borrow_input(nb::handle array, const Subject& subject);

  /// A producer does not order its own work on our stream (jax): the call must be over before the loans are.
  [[nodiscard]] bool unordered() const { return unordered_; }
  void wait() const;

 private:
  /// What a call takes of a stream.
  enum class Part : std::uint8_t { both, clock, values };

  void find_device(nb::handle array, const Subject& subject);
  void borrow_targets(nb::handle at);
  void borrow_stream(const PyStream& given, std::size_t i, const char* list, Part part);
  void add_axes(Stream& stream, std::size_t i, const char* list, int clock_rank);

  std::string_view op_;
  Loans loans_;
  std::vector<Stream> streams_;
  std::vector<int> value_ranks_;  ///< as given
  Targets targets_{ConstTensor{}};
  Device device_{};
  void* cuda_stream_ = nullptr;
  std::int64_t batch_ = 1;
  std::int64_t count_ = 0;  ///< T
  bool batched_ = false;
  bool drop_columns_ = false;
  bool unordered_ = false;
};

}  // namespace robocache::python
