#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>

#include <optional>
#include <string>
#include <utility>

#include "align_doc.hpp"
#include "align_inputs.hpp"
#include "align_options.hpp"
#include "bindings.hpp"
#include "ops/align_inputs.hpp"
#include "output.hpp"
#include "robocache/align.hpp"

namespace robocache::python {

namespace {

/// Plan.apply, as the operator behind it is called everywhere.
constexpr const char* kApply = "apply_plan";

/// robocache.Plan.
struct PyPlan {
  PyStream clock;  ///< its values are None
  PlanShape shape;
  std::int64_t samples = 0;
  nb::object steps;  ///< [C, B, T, 4]
  nb::object valid, age_ns;
  Pending pending;

  /// Word 0 or 1 of the first plane, [B, T] or [T].
  [[nodiscard]] nb::object words(int word) const {
    const nb::slice all{nb::none(), nb::none(), nb::none()};
    const nb::object batch = shape.batched ? nb::object(all) : nb::object(nb::int_(0));
    return nb::object(steps[nb::make_tuple(0, batch, all, word)]);
  }

  void check() {
    Pending now = std::exchange(pending, {});
    const nb::gil_scoped_release release;
    now.check();
  }
};

PyPlan make_plan(PyStream clock, const nb::object& at, std::string_view check) {
  const DataCheck when = to_check("plan", check);
  PyPlan plan{std::move(clock), {}, 0, {}, {}, {}, {}};
  AlignInputs inputs("plan", plan.clock, at);  // looks into the clock where it stays
  plan.shape = inputs.shape();
  const nb::object like = plan.clock.stamps;
  const Stream& stream = inputs.streams()[0];
  plan.samples = stream.stamps.rank > 0 ? stream.stamps.shape[stream.stamps.rank - 1] : 0;
  const std::int64_t sizes[] = {static_cast<std::int64_t>(TimeClasses(stream).count()), plan.shape.batch,
                                plan.shape.targets, 4};
  const auto make = [&](std::span<const std::int64_t> shape, DType dtype, nb::object& array) {
    Fresh fresh = new_array("plan", like, shape, dtype, inputs.device(), inputs.cuda_stream());
    array = std::move(fresh.array);
    return fresh.view;
  };
  const Tensor steps = make(sizes, DType::i64, plan.steps);
  const auto marks = inputs.result_shape(1);
  const Tensor valid = inputs.complete(make(marks, DType::boolean, plan.valid), "valid");
  const Tensor age_ns = inputs.complete(make(marks, DType::i64, plan.age_ns), "age_ns");
  Context ctx;
  ctx.stream = inputs.cuda_stream();
  {
    const nb::gil_scoped_release release;
    plan.pending = robocache::plan(stream, inputs.targets(), steps, valid, age_ns, when, ctx);
    if (inputs.unordered()) inputs.wait();
  }
  for (nb::object* array : {&plan.steps, &plan.valid, &plan.age_ns}) *array = deliver("plan", like, std::move(*array));
  return plan;
}

/// A plan has steps for the modes that it was made for, and for those that place targets as one of them does.
void check_classes(const Stream& clock, const Stream& stream) {
  const std::pair<Interp, const char*> classes[] = {
      {Interp::hold, "hold"}, {Interp::nearest, "nearest"}, {Interp::linear, "blending"}};
  for (const auto& [interp, text] : classes) {
    const bool planned = TimeClasses(clock).has(interp);
    if (planned == TimeClasses(stream).has(interp)) continue;
    throw InvalidArgument(std::string(kApply) + ": interp is " + (planned ? "no mode of " : "a mode of ") + text +
                          ", expected " + (planned ? "one" : "none") + ", as in the plan; make another plan");
  }
}

/// The plan's steps for a batch of `batch` rows.
ConstTensor shared_steps(ConstTensor steps, std::int64_t batch) {
  if (steps.shape[1] == batch || steps.shape[1] != 1) return steps;
  steps.shape[1] = batch;
  steps.strides[1] = 0;
  return steps;
}

nb::object apply_plan_to(const PyPlan& plan, nb::object values, const nb::object& interp, const nb::object& out,
                         const nb::object& dtype) {
  PyStream stream = plan.clock;
  stream.values = values;
  if (!interp.is_none()) stream.set_interp(kApply, interp);
  AlignInputs inputs(kApply, stream, plan.shape);
  const Stream& view = inputs.streams()[0];
  check_classes(plan.clock.options(), view);
  const std::int64_t samples = view.values.shape[view.values.rank - 2];
  if (samples != plan.samples) {
    throw InvalidArgument(std::string(kApply) + ": values has " + std::to_string(samples) + " samples, expected " +
                          std::to_string(plan.samples) + " as the plan's stamps");
  }
  const std::int64_t columns = view.values.shape[view.values.rank - 1];
  const std::optional<DType> wanted = to_dtype_option(kApply, dtype);
  nb::object array = out;
  Tensor result;
  if (out.is_none()) {
    Fresh fresh = new_array(kApply, values, inputs.result_shape(columns), wanted.value_or(view.values.dtype),
                            inputs.device(), inputs.cuda_stream());
    array = std::move(fresh.array);
    result = inputs.complete(fresh.view, "out");
  } else {
    result = inputs.complete(inputs.borrow_output(out, wanted), "out");
  }
  const ConstTensor steps = shared_steps(inputs.borrow_input(plan.steps, "steps"), result.shape[0]);
  Context ctx;
  ctx.stream = inputs.cuda_stream();
  {
    const nb::gil_scoped_release release;
    apply_plan(steps, view, result, ctx);
    if (inputs.unordered()) inputs.wait();
  }
  return deliver(kApply, values, std::move(array));
}

}  // namespace

void bind_plan(nb::module_& m) {
  nb::class_<PyPlan>(m, "Plan", kPlanDoc)
      .def_prop_ro(
          "index", [](const PyPlan& plan) { return plan.words(0); },
          nb::for_getter(nb::sig("def index(self) -> typing.Any")),
          "int64 array [B, T] or [T]: the sample within its row, or -1 where there is none. Of column runs: of those "
          "that "
          "hold; else of nearest; else of the others.")
      .def_prop_ro(
          "weight",
          [](const PyPlan& plan) {
            return nb::module_::import_("robocache._frameworks").attr("bits_as_float64")(plan.words(1));
          },
          nb::for_getter(nb::sig("def weight(self) -> typing.Any")),
          "float64 array [B, T] or [T]: weight of the sample behind `index` (0: none of it); where there is no sample, "
          "what "
          "is written.")
      .def_ro("valid", &PyPlan::valid, nb::for_getter(nb::sig("def valid(self) -> typing.Any")),
              "bool array [B, T] or [T]: in range, gap and age kept.")
      .def_ro("age_ns", &PyPlan::age_ns, nb::for_getter(nb::sig("def age_ns(self) -> typing.Any")),
              "int64 array [B, T] or [T] in ns.")
      .def("check", &PyPlan::check, "Waits for the plan's stream and raises InvalidArgument if its data was bad.")
      .def("apply", &apply_plan_to, nb::arg("values").none(), nb::kw_only(), nb::arg("interp") = nb::none(),
           nb::arg("out") = nb::none(), nb::arg("dtype") = nb::none(), nb::sig(kApplySignature), kApplyDoc);
  m.def(
      "plan",
      [](nb::object stamps, const nb::object& at, const nb::object& interp, const nb::object& outside,
         std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns, std::int64_t offset_ns,
         nb::object lengths, nb::object offsets, nb::object mask, std::string_view missing, const nb::object& name,
         std::string_view check) {
        return make_plan(
            PyStream("plan", nb::none(), std::move(stamps), interp, outside, max_gap_ns, max_age_ns, offset_ns,
                     std::move(lengths), std::move(offsets), std::move(mask), missing, "xyzw", name),
            at, check);
      },
      nb::arg("stamps").none(), nb::arg("at").none(), nb::kw_only(), nb::arg("interp") = nb::none(),
      nb::arg("outside") = "hold", nb::arg("max_gap_ns") = nb::none(), nb::arg("max_age_ns") = nb::none(),
      nb::arg("offset_ns") = 0, nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(),
      nb::arg("mask") = nb::none(), nb::arg("missing") = "propagate", nb::arg("name") = nb::none(),
      nb::arg("check") = "auto", nb::sig(kPlanSignature), kPlanFunctionDoc);
}

}  // namespace robocache::python
