#include "align_inputs.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <utility>

#include "align_doc.hpp"
#include "core/build.hpp"
#include "cuda/device_guard.hpp"
#include "cuda/process.hpp"
#include "robocache/error.hpp"

namespace robocache::python {

namespace {

/// Inserts an axis of `size` with stride 0 before axis `where`.
template <class View>
void insert_axis(View& view, int where, std::int64_t size) {
  for (int i = view.rank; i > where; --i) {
    view.shape[i] = view.shape[i - 1];
    view.strides[i] = view.strides[i - 1];
  }
  view.shape[where] = size;
  view.strides[where] = 0;
  ++view.rank;
}

}  // namespace

AlignInputs::AlignInputs(std::string_view op, std::span<const PyStream* const> streams, nb::handle at, bool columns)
    : op_(op) {
  const char* const list = columns ? "streams" : nullptr;
  find_device(streams[0]->values, {list, 0, {}, "values"});
  streams_.reserve(streams.size());
  borrow_targets(at);
  for (std::size_t i = 0; i < streams.size(); ++i) borrow_stream(*streams[i], i, list, Part::both);
  if (targets_.at.rank == 2) batch_ = targets_.at.shape[0];
  drop_columns_ = !columns && streams_[0].values.rank == streams_[0].stamps.rank;
  for (std::size_t i = 0; i < streams_.size(); ++i) add_axes(streams_[i], i, list, streams_[i].stamps.rank);
}

AlignInputs::AlignInputs(std::string_view op, const PyStream& clock, nb::handle at) : op_(op), drop_columns_(true) {
  find_device(clock.stamps, "stamps");
  borrow_targets(at);
  borrow_stream(clock, 0, nullptr, Part::clock);
  if (targets_.at.rank == 2) batch_ = targets_.at.shape[0];
}

AlignInputs::AlignInputs(std::string_view op, const PyStream& values, const PlanShape& plan)
    : op_(op), batch_(plan.batch), count_(plan.targets), batched_(plan.batched) {
  find_device(values.values, "values");
  borrow_stream(values, 0, nullptr, Part::values);
  drop_columns_ = streams_[0].values.rank == plan.clock_rank;
  add_axes(streams_[0], 0, nullptr, plan.clock_rank);
}

void AlignInputs::find_device(nb::handle array, const Subject& subject) {
  int index = 0;
  if (!on_cuda(array, op_, subject, index)) return;
  if constexpr (build::cuda) cuda::enter();  // before the caller's library is asked for memory in a forked process
  device_ = {DeviceKind::cuda, index};
  cuda_stream_ = current_stream(array, index);
}

void AlignInputs::borrow_targets(nb::handle at) {
  targets_ = Targets(borrow_input(at, "at"));
  batched_ = targets_.at.rank != 1;
  count_ = targets_.at.rank > 0 ? targets_.at.shape[targets_.at.rank - 1] : 0;
}

void AlignInputs::borrow_stream(const PyStream& given, std::size_t i, const char* list, Part part) {
  const auto subject = [&](const char* member) { return Subject(list, i, given.name, member); };
  Stream& stream = streams_.emplace_back(given.options());
  if (part != Part::clock) stream.values = borrow_input(given.values, subject("values"));
  if (part != Part::values) stream.stamps = borrow_input(given.stamps, subject("stamps"));
  if (!given.lengths.is_none()) stream.lengths = borrow_input(given.lengths, subject("lengths"));
  if (!given.offsets.is_none()) stream.offsets = borrow_input(given.offsets, subject("offsets"));
  if (!given.mask.is_none()) stream.mask = borrow_input(given.mask, subject("mask"));
  batched_ = batched_ || stream.stamps.rank == 2 || stream.values.rank == 3 || stream.lengths.given() ||
             stream.offsets.given() || stream.mask.rank == 2;
  if (stream.values.rank == 3) {
    batch_ = stream.values.shape[0];
  } else if (stream.stamps.rank == 2) {
    batch_ = stream.values.given() ? stream.values.shape[0] : stream.stamps.shape[0];
  } else if (stream.offsets.given() && stream.offsets.rank == 1) {
    if (stream.offsets.shape[0] == 0) {
      throw InvalidArgument(std::string(op_) + ": " + subject("offsets").text() + " is [0], expected [B+1]");
    }
    batch_ = stream.offsets.shape[0] - 1;
  } else if (stream.lengths.given() && stream.lengths.rank == 1) {
    batch_ = stream.lengths.shape[0];
  } else if (stream.mask.rank == 2) {
    batch_ = stream.mask.shape[0];
  }
}

ConstTensor AlignInputs::borrow_input(nb::handle array, const Subject& subject) {
  const Borrowed borrowed = borrow(array, op_, subject, cuda_stream_, loans_);
  unordered_ = unordered_ || borrowed.unordered;
  return borrowed.view;
}

void AlignInputs::add_axes(Stream& stream, std::size_t i, const char* list, int clock_rank) {
  ConstTensor& values = stream.values;
  value_ranks_.push_back(values.rank);
  if (!values.given()) return;
  if (values.rank == clock_rank) {
    insert_axis(values, values.rank, 1);  // [S] -> [S, 1], [B, S] -> [B, S, 1]
  }
  if (values.rank < 2 || values.rank > 3) {
    throw InvalidArgument(std::string(op_) + ": " + Subject(list, i, stream.name, "values").text() + " is " +
                          shape_text(values) + " with stamps of rank " + std::to_string(clock_rank) +
                          ", expected values [S], [S, D] or [B, S, D]");
  }
  if (!stream.offsets.given() && values.rank == 2) insert_axis(values, 0, batch_);
}

std::vector<std::int64_t> AlignInputs::result_shape(std::int64_t columns) const {
  std::vector<std::int64_t> shape;
  if (batched_) shape.push_back(batch_);
  shape.push_back(count_);
  if (!drop_columns_) shape.push_back(columns);
  return shape;
}

template <class View>
View AlignInputs::complete(View view, std::string_view subject) const {
  const int rank = (batched_ ? 1 : 0) + 1 + (drop_columns_ ? 0 : 1);
  if (view.rank != rank) {
    const char* const axes[] = {"[T]", "[T, D]", "[B, T]", "[B, T, D]"};
    throw InvalidArgument(std::string(op_) + ": " + std::string(subject) + " is " + shape_text(view) + ", expected " +
                          axes[(batched_ ? 2 : 0) + (drop_columns_ ? 0 : 1)]);
  }
  if (drop_columns_) insert_axis(view, view.rank, 1);
  if (!batched_) insert_axis(view, 0, 1);
  return view;
}

template Tensor AlignInputs::complete(Tensor view, std::string_view subject) const;
template ConstTensor AlignInputs::complete(ConstTensor view, std::string_view subject) const;

std::span<const std::int64_t> AlignInputs::values_shape(std::size_t i) const {
  const ConstTensor& values = streams_[i].values;
  const int columns = value_ranks_[i] == streams_[i].stamps.rank ? 1 : 0;  // axes that were added
  const auto rank = static_cast<std::size_t>(value_ranks_[i]);
  return values.sizes().subspan(values.sizes().size() - static_cast<std::size_t>(columns) - rank, rank);
}

Tensor AlignInputs::complete_values(Tensor view, std::size_t i) const {
  const Stream& stream = streams_[i];
  if (view.rank == stream.stamps.rank) insert_axis(view, view.rank, 1);
  if (!stream.offsets.given() && view.rank == 2) insert_axis(view, 0, batch_);
  return view;
}

Tensor AlignInputs::borrow_output(nb::handle array, std::optional<DType> dtype) {
  const Borrowed borrowed = borrow(array, op_, "out", cuda_stream_, loans_);
  if (!borrowed.writable)
    throw InvalidArgument(std::string(op_) + ": out is read-only or a jax array, expected a writable array");
  if (dtype.has_value() && borrowed.view.dtype != *dtype) {
    throw InvalidArgument(std::string(op_) + ": out is " + std::string(name(borrowed.view.dtype)) +
                          ", expected dtype=" + std::string(name(*dtype)));
  }
  return borrowed.view;
}

void AlignInputs::wait() const {
  if constexpr (build::cuda) cuda::synchronize(device_.index, cuda_stream_);
}

}  // namespace robocache::python
