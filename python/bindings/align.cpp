#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "align_doc.hpp"
#include "align_inputs.hpp"
#include "align_options.hpp"
#include "bindings.hpp"
#include "output.hpp"
#include "robocache/align.hpp"

namespace robocache::python {

namespace {

/// What align() returns. `out` holds one array, or one a stream where their dtypes differ.
struct AlignResult {
  std::vector<nb::object> out;
  std::vector<std::int64_t> columns;  ///< of each stream
  std::string why_split;              ///< why there is no single array
  bool joined = true;
  nb::object valid;
  nb::object age_ns;
  Pending pending;

  [[nodiscard]] nb::object values() const {
    if (joined) return out[0];
    throw InvalidArgument("align: values is " + why_split + ", expected one array; " +
                          "take .split(), which has one a stream");
  }

  [[nodiscard]] nb::list split() const {
    nb::list parts;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (joined) {
        const nb::slice range(nb::int_(first), nb::int_(first + columns[i]), nb::none());
        parts.append(columns.size() == 1 ? out[0] : nb::object(out[0][nb::make_tuple(nb::ellipsis(), range)]));
      } else {
        parts.append(out[i]);
      }
      first += columns[i];
    }
    return parts;
  }

  void check() {
    Pending now = std::exchange(pending, {});
    const nb::gil_scoped_release release;
    now.check();
  }
};

/// One call from Python: borrows the inputs, makes or borrows the outputs, runs without the GIL.
class Call {
 public:
  Call(std::string_view op, std::vector<nb::object> streams, const nb::object& at)
      : op_(op),
        held_(std::move(streams)),
        like_(nb::inst_ptr<PyStream>(held_.at(0))->values),
        inputs_(op, pointers(held_), at, op == "align") {}

  AlignResult run(std::optional<DType> dtype, const nb::object& given, bool marks, DataCheck when) {
    AlignResult result;
    choose_outputs(dtype, given, result);
    Tensor valid;
    Tensor age_ns;
    if (marks) {
      const auto shape = inputs_.result_shape(static_cast<std::int64_t>(inputs_.streams().size()));
      valid = make(shape, DType::boolean, result.valid);
      age_ns = make(shape, DType::i64, result.age_ns);
    }
    Context ctx;
    ctx.stream = inputs_.cuda_stream();
    {
      const nb::gil_scoped_release release;
      result.pending = marks ? align(inputs_.streams(), inputs_.targets(), outputs_, valid, age_ns, when, ctx)
                             : resample(inputs_.streams()[0], inputs_.targets(), outputs_[0], when, ctx);
      if (inputs_.unordered()) inputs_.wait();
    }
    for (nb::object& array : result.out) array = deliver(op_, like_, std::move(array));
    if (marks) {
      result.valid = deliver(op_, like_, std::move(result.valid));
      result.age_ns = deliver(op_, like_, std::move(result.age_ns));
    }
    return result;
  }

 private:
  Tensor make(std::span<const std::int64_t> shape, DType dtype, nb::object& array) {
    Fresh fresh = new_array(op_, like_, shape, dtype, inputs_.device(), inputs_.cuda_stream());
    array = std::move(fresh.array);
    return inputs_.complete(fresh.view, "out");
  }

  void choose_outputs(std::optional<DType> dtype, const nb::object& given, AlignResult& result) {
    std::int64_t all = 0;
    bool same = true;
    for (const Stream& stream : inputs_.streams()) {
      const std::int64_t columns = stream.values.shape[stream.values.rank - 1];
      result.columns.push_back(columns);
      all += columns;
      same = same && stream.values.dtype == inputs_.streams()[0].values.dtype;
    }
    if (!given.is_none()) return borrow_outputs(dtype, given, result);
    result.joined = same || dtype.has_value();
    if (!result.joined) result.why_split = "a mix of " + dtypes() + " (dtype= makes them one)";
    const std::size_t count = result.joined ? 1 : result.columns.size();
    result.out.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const DType made = dtype.value_or(inputs_.streams()[i].values.dtype);
      outputs_.push_back(make(inputs_.result_shape(result.joined ? all : result.columns[i]), made, result.out[i]));
    }
  }

  [[nodiscard]] std::string dtypes() const {
    std::string list;
    for (const Stream& stream : inputs_.streams()) {
      list += (list.empty() ? "" : ", ") + std::string(name(stream.values.dtype));
    }
    return list;
  }

  void borrow_outputs(std::optional<DType> dtype, const nb::object& given, AlignResult& result) {
    const bool list = nb::isinstance<nb::list>(given) || nb::isinstance<nb::tuple>(given);
    result.joined = !list;
    if (list) {
      for (nb::handle array : nb::borrow<nb::sequence>(given)) result.out.push_back(nb::borrow(array));
      if (result.out.size() != result.columns.size()) {
        throw InvalidArgument(std::string(op_) + ": out is a list of " + std::to_string(result.out.size()) +
                              " arrays, expected one for each of the " + std::to_string(result.columns.size()) +
                              " streams, or a single array");
      }
      result.why_split = "in the arrays that out= listed";
    } else {
      result.out.push_back(given);
    }
    for (const nb::object& array : result.out) {
      outputs_.push_back(inputs_.complete(inputs_.borrow_output(array, dtype), "out"));
    }
  }

  static std::vector<const PyStream*> pointers(const std::vector<nb::object>& streams) {
    std::vector<const PyStream*> list;
    for (const nb::object& stream : streams) list.push_back(nb::inst_ptr<PyStream>(stream));
    return list;
  }

  std::string_view op_;
  std::vector<nb::object> held_;  ///< the streams: nobody else may keep them, or their arrays, while the GIL is free
  nb::object like_;
  AlignInputs inputs_;
  std::vector<Tensor> outputs_;
};

AlignResult align_arrays(const nb::object& streams, const nb::object& at, const nb::object& dtype,
                         const nb::object& out, std::string_view check) {
  std::vector<nb::object> list = stream_list("align", streams);
  return Call("align", std::move(list), at).run(to_dtype_option("align", dtype), out, true, to_check("align", check));
}

nb::object resample_array(PyStream stream, const nb::object& at, const nb::object& out, std::string_view check) {
  std::vector<nb::object> list{nb::cast(std::move(stream))};
  AlignResult result = Call("resample", std::move(list), at).run(std::nullopt, out, false, to_check("resample", check));
  return result.out[0];
}

}  // namespace

void bind_align(nb::module_& m) {
  bind_stream(m);
  nb::class_<AlignResult>(m, "AlignResult", kAlignResultDoc)
      .def_prop_ro("values", &AlignResult::values, nb::for_getter(nb::sig("def values(self) -> typing.Any")),
                   "Array [B, T, sum D] (or [T, sum D]); raises for a mix of dtypes.")
      .def_ro("valid", &AlignResult::valid, nb::for_getter(nb::sig("def valid(self) -> typing.Any")),
              "bool array [B, T, N] (or [T, N]): in range, gap and age kept.")
      .def_ro("age_ns", &AlignResult::age_ns, nb::for_getter(nb::sig("def age_ns(self) -> typing.Any")),
              "int64 array [B, T, N] (or [T, N]) in ns.")
      .def("split", &AlignResult::split, nb::sig("def split(self) -> list[typing.Any]"),
           "List of arrays, one a stream, each in the dtype it was written in.")
      .def("check", &AlignResult::check,
           "Waits for the call's stream and raises InvalidArgument if its data was bad. Silent on the CPU.");
  m.def("align", &align_arrays, nb::arg("streams").none(), nb::arg("at").none(), nb::kw_only(),
        nb::arg("dtype") = nb::none(), nb::arg("out") = nb::none(), nb::arg("check") = "auto", nb::sig(kAlignSignature),
        kAlignDoc);
  m.def(
      "resample",
      [](nb::object values, nb::object stamps, const nb::object& at, const nb::object& interp,
         const nb::object& outside, std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns,
         std::int64_t offset_ns, nb::object lengths, nb::object offsets, nb::object mask, std::string_view missing,
         std::string_view quaternion, const nb::object& name, const nb::object& out, std::string_view check) {
        return resample_array(
            PyStream("resample", std::move(values), std::move(stamps), interp, outside, max_gap_ns, max_age_ns,
                     offset_ns, std::move(lengths), std::move(offsets), std::move(mask), missing, quaternion, name),
            at, out, check);
      },
      nb::arg("values").none(), nb::arg("stamps").none(), nb::arg("at").none(), nb::kw_only(),
      nb::arg("interp") = nb::none(), nb::arg("outside") = "hold", nb::arg("max_gap_ns") = nb::none(),
      nb::arg("max_age_ns") = nb::none(), nb::arg("offset_ns") = 0, nb::arg("lengths") = nb::none(),
      nb::arg("offsets") = nb::none(), nb::arg("mask") = nb::none(), nb::arg("missing") = "propagate",
      nb::arg("quaternion") = "xyzw", nb::arg("name") = nb::none(), nb::arg("out") = nb::none(),
      nb::arg("check") = "auto", nb::sig(kResampleSignature), kResampleDoc);
}

}  // namespace robocache::python
