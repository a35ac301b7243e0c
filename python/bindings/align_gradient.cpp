#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "align_inputs.hpp"
#include "align_options.hpp"
#include "bindings.hpp"
#include "output.hpp"
#include "robocache/align_gradient.hpp"

namespace robocache::python {

namespace {

constexpr const char* kOp = "align_gradient";

constexpr const char* kSignature =
    "def align_gradient(streams: collections.abc.Sequence[Stream] | Stream, at: typing.Any, grad_out: typing.Any, *, "
    "out: typing.Any = None, wanted: collections.abc.Sequence[bool] | None = None, "
    "check: typing.Literal['auto', 'now', 'off'] = 'auto') -> list[typing.Any]";

constexpr const char* kDoc = R"(The gradient of `align` by the values of its streams.

For torch there is robocache.torch, which does this in backward(). docs/gradients.md says what is differentiable.

Parameters
----------
streams, at
    As `align` was given them.
grad_out : array [B, T, sum D], or list of arrays [B, T, D], one a stream
    Derivative of a scalar by what `align` wrote; any float dtype and strides.
out : array, or list of arrays, optional
    What `align` wrote, in the form and dtype of `grad_out`. Streams with quaternions need it: it holds the sign that each
    was written with.
wanted : sequence of bool, optional
    For which streams. Default: all with float values.
check : {'auto', 'now', 'off'}
    As in `align`.

Returns
-------
list of arrays
    One a stream, of the shape and dtype of its values; None where it is not wanted. Values that several batch rows read
    get the sum over them.

Raises
------
ValueError, NotImplementedError
    As `align`.)";

std::vector<nb::object> listed(nb::handle arrays) {
  std::vector<nb::object> list;
  if (arrays.is_none()) return list;
  if (nb::isinstance<nb::list>(arrays) || nb::isinstance<nb::tuple>(arrays)) {
    for (nb::handle array : nb::borrow<nb::sequence>(arrays)) list.push_back(nb::borrow(array));
  } else {
    list.push_back(nb::borrow(arrays));
  }
  return list;
}

/// One call from Python.
class Call {
 public:
  Call(const std::vector<nb::object>& streams, const nb::object& at)
      : like_(nb::inst_ptr<PyStream>(streams.at(0))->values), inputs_(kOp, pointers(streams), at, true) {}

  nb::list run(const std::vector<nb::object>& streams, nb::handle grad_out, nb::handle out,
               const std::optional<std::vector<bool>>& wanted, DataCheck when) {
    const std::vector<nb::object> held[] = {listed(grad_out), listed(out)};
    const std::vector<ConstTensor> upstream = borrow_all(held[0], "grad_out");
    const std::vector<ConstTensor> written = borrow_all(held[1], "out");
    if (wanted.has_value() && wanted->size() != streams.size()) {
      throw InvalidArgument(std::string(kOp) + ": wanted has " + std::to_string(wanted->size()) +
                            " items, expected one for each of the " + std::to_string(streams.size()) + " streams");
    }
    std::vector<nb::object> arrays(streams.size(), nb::none());
    std::vector<Tensor> gradients(streams.size());
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const bool floats = is_float(inputs_.streams()[i].values.dtype);
      if (wanted.has_value() ? (*wanted)[i] : floats) gradients[i] = make(i, arrays[i]);
    }
    {
      const nb::gil_scoped_release release;
      static_cast<void>(align_gradient(inputs_.streams(), inputs_.targets(), upstream, written, gradients, when,
                                       {.stream = inputs_.cuda_stream()}));
      if (inputs_.unordered()) inputs_.wait();
    }
    nb::list result;
    for (nb::object& array : arrays) result.append(array.is_none() ? array : deliver(kOp, like_, std::move(array)));
    return result;
  }

 private:
  static std::vector<const PyStream*> pointers(const std::vector<nb::object>& streams) {
    std::vector<const PyStream*> list;
    for (const nb::object& stream : streams) list.push_back(nb::inst_ptr<PyStream>(stream));
    return list;
  }

  std::vector<ConstTensor> borrow_all(const std::vector<nb::object>& arrays, const char* subject) {
    std::vector<ConstTensor> views;
    for (const nb::object& array : arrays) {
      views.push_back(inputs_.complete(inputs_.borrow_input(array, subject), subject));
    }
    return views;
  }

  Tensor make(std::size_t i, nb::object& array) {
    Fresh fresh = new_array(kOp, like_, inputs_.values_shape(i), inputs_.streams()[i].values.dtype, inputs_.device(),
                            inputs_.cuda_stream());
    array = std::move(fresh.array);
    return inputs_.complete_values(fresh.view, i);
  }

  nb::object like_;
  AlignInputs inputs_;
};

nb::list align_gradient_arrays(const nb::object& streams, const nb::object& at, nb::handle grad_out, nb::handle out,
                               const std::optional<std::vector<bool>>& wanted, std::string_view check) {
  const std::vector<nb::object> list = stream_list(kOp, streams);
  return Call(list, at).run(list, grad_out, out, wanted, to_check(kOp, check));
}

}  // namespace

void bind_align_gradient(nb::module_& m) {
  m.def(kOp, &align_gradient_arrays, nb::arg("streams").none(), nb::arg("at").none(), nb::arg("grad_out").none(),
        nb::kw_only(), nb::arg("out") = nb::none(), nb::arg("wanted") = nb::none(), nb::arg("check") = "auto",
        nb::sig(kSignature), kDoc);
}

}  // namespace robocache::python
