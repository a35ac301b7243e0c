#include "align_inputs.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <utility>

#include "align_doc.hpp"
#include "core/build.hpp"
#include "core/check.hpp"
#include "cuda/device_guard.hpp"
#include "cuda/process.hpp"
#include "robocache/error.hpp"

namespace robocache::python {

namespace {

constexpr std::pair<std::string_view, Interp> kInterps[] = {
    {"hold", Interp::hold}, {"nearest", Interp::nearest}, {"linear", Interp::linear}, {"slerp", Interp::slerp}};

Interp to_interp(const nb::object& interp) {
  if (interp.is_none()) return Interp::automatic;
  const auto text = nb::cast<std::string>(nb::str(interp));
  for (const auto& [known, value] : kInterps) {
    if (text == known) return value;
  }
  throw InvalidArgument("Stream: interp is '" + text + "', expected 'hold', 'nearest', 'linear', 'slerp' or None");
}

nb::object interp_name(Interp interp) {
  for (const auto& [known, value] : kInterps) {
    if (interp == value) return nb::str(known.data(), known.size());
  }
  return nb::none();
}

nb::object limit_or_none(std::int64_t limit_ns) {
  return limit_ns == kNoLimit ? nb::object(nb::none()) : nb::object(nb::int_(limit_ns));
}

Outside to_outside(nb::handle side) {
  if (!nb::isinstance<nb::str>(side) && nb::hasattr(side, "__float__")) {
    return {Outside::Policy::fill, nb::cast<double>(nb::float_(side))};
  }
  const auto text = nb::cast<std::string>(nb::str(side));
  if (text == "hold") return {Outside::Policy::hold};
  if (text == "nan") return {Outside::Policy::fill, std::numeric_limits<double>::quiet_NaN()};
  if (text == "extrapolate") return {Outside::Policy::extrapolate};
  if (text == "error") return {Outside::Policy::error};
  throw InvalidArgument(
      "Stream: outside is '" + text +
      "', expected 'hold', 'nan', 'extrapolate', 'error', a number, or a pair (before, after) of these");
}

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

PyStream::PyStream(nb::object values_, nb::object stamps_, const nb::object& interp, nb::object outside_,
                   std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns,
                   std::int64_t offset_ns, nb::object lengths_, nb::object offsets_, const nb::object& name_)
    : values(std::move(values_)),
      stamps(std::move(stamps_)),
      lengths(std::move(lengths_)),
      offsets(std::move(offsets_)),
      outside(std::move(outside_)) {
  if (!name_.is_none()) name = nb::cast<std::string>(nb::str(name_));
  options.interp = to_interp(interp);
  if (nb::isinstance<nb::tuple>(outside) || nb::isinstance<nb::list>(outside)) {
    if (nb::len(outside) != 2) {
      throw InvalidArgument("Stream: outside has " + std::to_string(nb::len(outside)) +
                            " items, expected (before, after)");
    }
    options.before = to_outside(nb::object(outside[0]));
    options.after = to_outside(nb::object(outside[1]));
  } else {
    options.before = options.after = to_outside(outside);
  }
  options.max_gap_ns = max_gap_ns.value_or(kNoLimit);
  options.max_age_ns = max_age_ns.value_or(kNoLimit);
  if (options.max_gap_ns < 0 || options.max_age_ns < 0) {
    throw InvalidArgument("Stream: " + std::string(options.max_gap_ns < 0 ? "max_gap_ns" : "max_age_ns") + " is " +
                          std::to_string(std::min(options.max_gap_ns, options.max_age_ns)) + ", expected >= 0 or None");
  }
  options.offset_ns = offset_ns;
}

AlignInputs::AlignInputs(std::string_view op, std::span<const PyStream* const> streams, nb::handle at, bool columns)
    : op_(op) {
  const nb::handle first = streams[0]->values;
  int index = 0;
  if (on_cuda(first, op, columns ? "streams[0].values" : "values", index)) {
    if constexpr (build::cuda) cuda::enter();  // before the caller's library is asked for memory in a forked process
    device_ = {DeviceKind::cuda, index};
    cuda_stream_ = current_stream(first, index);
  }
  streams_.reserve(streams.size());
  targets_ = Targets(borrow_input(at, "at"));
  batched_ = targets_.at.rank != 1;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const PyStream& given = *streams[i];
    const std::string subject = columns ? Subject("streams", i, given.name, "").text() + "." : std::string();
    Stream stream = given.options;
    stream.name = given.name;
    stream.values = borrow_input(given.values, subject + "values");
    stream.stamps = borrow_input(given.stamps, subject + "stamps");
    if (!given.lengths.is_none()) stream.lengths = borrow_input(given.lengths, subject + "lengths");
    if (!given.offsets.is_none()) stream.offsets = borrow_input(given.offsets, subject + "offsets");
    batched_ = batched_ || stream.stamps.rank == 2 || stream.values.rank == 3 || stream.lengths.given() ||
               stream.offsets.given();
    if (stream.values.rank == 3 || stream.stamps.rank == 2) {
      batch_ = stream.values.shape[0];
    } else if (stream.offsets.given() && stream.offsets.rank == 1) {
      if (stream.offsets.shape[0] == 0) {
        throw InvalidArgument(std::string(op) + ": " + subject + "offsets is [0], expected [B+1]");
      }
      batch_ = stream.offsets.shape[0] - 1;
    } else if (stream.lengths.given() && stream.lengths.rank == 1) {
      batch_ = stream.lengths.shape[0];
    }
    streams_.push_back(stream);
  }
  if (targets_.at.rank == 2) batch_ = targets_.at.shape[0];
  drop_columns_ = !columns && streams_[0].values.rank == streams_[0].stamps.rank;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    add_axes(streams_[i], columns ? Subject("streams", i, streams_[i].name, "").text() + "." : std::string());
  }
}

ConstTensor AlignInputs::borrow_input(nb::handle array, std::string_view subject) {
  refuse_gradients(array, op_, subject);
  const Borrowed borrowed = borrow(array, op_, subject, cuda_stream_, loans_);
  unordered_ = unordered_ || borrowed.unordered;
  return borrowed.view;
}

void AlignInputs::add_axes(Stream& stream, const std::string& subject) {
  ConstTensor& values = stream.values;
  if (values.rank == stream.stamps.rank) {
    insert_axis(values, values.rank, 1);  // [S] -> [S, 1], [B, S] -> [B, S, 1]
  }
  if (values.rank < 2 || values.rank > 3) {
    throw InvalidArgument(std::string(op_) + ": " + subject + "values is " + shape_text(values) + " with stamps " +
                          shape_text(stream.stamps) + ", expected values [S], [S, D] or [B, S, D]");
  }
  if (!stream.offsets.given() && values.rank == 2) insert_axis(values, 0, batch_);
}

std::vector<std::int64_t> AlignInputs::result_shape(std::int64_t columns) const {
  std::vector<std::int64_t> shape;
  if (batched_) shape.push_back(batch_);
  shape.push_back(targets_.at.rank > 0 ? targets_.at.shape[targets_.at.rank - 1] : 0);
  if (!drop_columns_) shape.push_back(columns);
  return shape;
}

Tensor AlignInputs::complete(Tensor view, std::string_view subject) const {
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

Tensor AlignInputs::borrow_output(nb::handle array) {
  refuse_gradients(array, op_, "out");
  const Borrowed borrowed = borrow(array, op_, "out", cuda_stream_, loans_);
  for (int i = 0; i < borrowed.view.rank; ++i) {
    if (borrowed.view.strides[i] == 0 && borrowed.view.shape[i] > 1) {
      throw InvalidArgument(std::string(op_) +
                            ": out is expanded (stride 0), expected memory of its own for each element");
    }
  }
  if (!borrowed.writable)
    throw InvalidArgument(std::string(op_) + ": out is read-only or a jax array, expected a writable array");
  return borrowed.view;
}

void AlignInputs::wait() const {
  if constexpr (build::cuda) cuda::synchronize(device_.index, cuda_stream_);
}

std::optional<DType> to_dtype_option(const nb::object& dtype) {
  if (dtype.is_none()) return std::nullopt;
  nb::object label = dtype;
  if (!nb::isinstance<nb::str>(label)) label = nb::getattr(dtype, "__name__", nb::str(dtype));
  auto text = nb::cast<std::string>(nb::str(label));
  if (text.starts_with("torch.")) text.erase(0, 6);
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
    if (text == name(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  throw InvalidArgument("align: dtype is " + text +
                        ", expected float64, float32, float16, bfloat16, an integer type or bool");
}

void bind_stream(nb::module_& m) {
  nb::class_<PyStream>(m, "Stream", kStreamDoc)
      .def(nb::init<nb::object, nb::object, const nb::object&, nb::object, std::optional<std::int64_t>,
                    std::optional<std::int64_t>, std::int64_t, nb::object, nb::object, const nb::object&>(),
           nb::arg("values").none(), nb::arg("stamps").none(), nb::kw_only(), nb::arg("interp") = nb::none(),
           nb::arg("outside") = "hold", nb::arg("max_gap_ns") = nb::none(), nb::arg("max_age_ns") = nb::none(),
           nb::arg("offset_ns") = 0, nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(),
           nb::arg("name") = nb::none(), nb::sig(kStreamSignature))
      .def_ro("values", &PyStream::values, nb::for_getter(nb::sig("def values(self) -> typing.Any")))
      .def_ro("stamps", &PyStream::stamps, nb::for_getter(nb::sig("def stamps(self) -> typing.Any")))
      .def_ro("lengths", &PyStream::lengths, nb::for_getter(nb::sig("def lengths(self) -> typing.Any")))
      .def_ro("offsets", &PyStream::offsets, nb::for_getter(nb::sig("def offsets(self) -> typing.Any")))
      .def_ro("outside", &PyStream::outside, nb::for_getter(nb::sig("def outside(self) -> typing.Any")))
      .def_prop_ro(
          "interp", [](const PyStream& s) { return interp_name(s.options.interp); },
          nb::for_getter(nb::sig("def interp(self) -> str | None")))
      .def_prop_ro("offset_ns", [](const PyStream& s) { return s.options.offset_ns; })
      .def_prop_ro(
          "max_gap_ns", [](const PyStream& s) { return limit_or_none(s.options.max_gap_ns); },
          nb::for_getter(nb::sig("def max_gap_ns(self) -> int | None")))
      .def_prop_ro(
          "max_age_ns", [](const PyStream& s) { return limit_or_none(s.options.max_age_ns); },
          nb::for_getter(nb::sig("def max_age_ns(self) -> int | None")))
      .def_prop_ro(
          "name", [](const PyStream& s) { return s.name.empty() ? nb::object(nb::none()) : nb::str(s.name.c_str()); },
          nb::for_getter(nb::sig("def name(self) -> str | None")))
      .def("__repr__", [](const PyStream& s) {
        return "Stream(" + (s.name.empty() ? std::string() : "name='" + s.name + "', ") +
               "interp=" + nb::cast<std::string>(nb::repr(interp_name(s.options.interp))) + ")";
      });
}

}  // namespace robocache::python
