#include "robocache/loader.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "align_options.hpp"
#include "array.hpp"
#include "bindings.hpp"
#include "output.hpp"
#include "robocache/error.hpp"
#include "stream.hpp"

namespace robocache::python {

namespace {

/// How long a call waits before it looks whether Ctrl-C was pressed.
constexpr std::chrono::milliseconds kPatience{100};

Window make_window(std::string stream, std::vector<double> offsets_s, std::int64_t last, bool on_samples,
                   const nb::object& interp, const nb::object& outside, std::optional<std::int64_t> max_gap_ns,
                   std::optional<std::int64_t> max_age_ns, std::string_view quaternion, std::vector<float> scale,
                   std::vector<float> bias, const nb::object& dtype) {
  const nb::object none = nb::none();
  const PyStream parsed("Loader", none, none, interp, outside, max_gap_ns, max_age_ns, 0, none, none, none, "propagate",
                        quaternion, nb::str(stream.c_str()));
  if (!parsed.runs.empty()) {
    throw Unsupported("Loader: windows['" + stream + "'].interp is a list, expected one mode for all columns");
  }
  return {.stream = std::move(stream),
          .offsets_s = std::move(offsets_s),
          .last = last,
          .on_samples = on_samples,
          .interp = parsed.interp,
          .before = parsed.before,
          .after = parsed.after,
          .max_gap_ns = parsed.max_gap_ns,
          .max_age_ns = parsed.max_age_ns,
          .quaternion = parsed.quaternion,
          .scale = std::move(scale),
          .bias = std::move(bias),
          .dtype = to_dtype_option("Loader", dtype)};
}

/// Batches as dicts of arrays in the library of `like`.
class Delivery {
 public:
  Delivery(const Windows& windows, nb::object like) : like_(std::move(like)) {
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const std::string& name = windows.window(w).stream;
      keys_.push_back({nb::str(name.c_str()), nb::str((name + "_is_pad").c_str()), nb::str((name + "_valid").c_str()),
                       nb::str((name + "_age_ns").c_str())});
      shapes_.push_back(windows.column(w).stream.shape);
    }
  }

  nb::dict operator()(Batch batch) const {
    nb::dict out;
    for (std::size_t w = 0; w < keys_.size(); ++w) {
      Batch::Result& result = batch.windows[w];
      Tensor& values = result.values.view;
      values = Tensor(values.data, values.dtype, {values.shape[0], values.shape[1]});
      for (const std::int64_t size : shapes_[w]) values.shape[values.rank++] = size;
      std::int64_t stride = 1;
      for (int i = values.rank - 1; i >= 0; stride *= values.shape[i--]) values.strides[i] = stride;
      put(out, keys_[w].values, result.values);
      put(out, keys_[w].is_pad, result.is_pad);
      put(out, keys_[w].valid, result.valid);
      put(out, keys_[w].age_ns, result.age_ns);
    }
    put(out, index_, batch.index);
    put(out, episode_index_, batch.episode_index);
    put(out, t_ns_, batch.stamps_ns);
    return out;
  }

 private:
  struct Keys {
    nb::str values, is_pad, valid, age_ns;
  };

  void put(nb::dict& out, const nb::str& key, OwnedTensor& tensor) const {
    if (tensor.view.given()) out[key] = lend_array("Loader", like_, tensor.view, std::move(tensor.memory));
  }

  nb::object like_;
  std::vector<Keys> keys_;
  std::vector<std::vector<std::int64_t>> shapes_;
  nb::str index_{"index"}, episode_index_{"episode_index"}, t_ns_{"t_ns"};
};

nb::dict read_windows(const Windows& windows, nb::handle samples, nb::object like) {
  Loans loans;
  const Borrowed lent = borrow(samples, "samples", "index", nullptr, loans);
  const Check check{"samples"};
  check.dtype("index", lent.view, DType::i64);
  check.device("index", lent.view, {});
  check.shape("index", lent.view, {Check::Extent(lent.view.numel())});
  if (lent.view.numel() > 1 && lent.view.strides[0] != 1) check.fail("index", "an array with gaps", "a contiguous one");
  const std::span numbers(static_cast<const std::int64_t*>(lent.view.data),
                          static_cast<std::size_t>(lent.view.numel()));
  Batch batch;
  {
    const nb::gil_scoped_release release;
    batch = read_batch(windows, numbers);
  }
  return Delivery(windows, std::move(like))(std::move(batch));
}

/// A Loader whose next() can be interrupted.
class PyLoader {
 public:
  PyLoader(const Windows& windows, LoaderOptions options, nb::object like)
      : delivery_(windows, std::move(like)), loader_(windows, std::move(options)) {}

  nb::dict next() {
    while (true) {
      std::optional<Batch> batch;
      {
        const nb::gil_scoped_release release;
        batch = loader_.next(kPatience);
      }
      if (batch) return delivery_(std::move(*batch));
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
  }
  [[nodiscard]] const Loader& loader() const { return loader_; }
  Loader& loader() { return loader_; }

 private:
  Delivery delivery_;
  Loader loader_;
};

}  // namespace

void bind_loader(nb::module_& m) {
  nb::class_<Window>(m, "Window",
                     "What `robocache.past` and its like ask; include/robocache/windows.hpp has the meaning.")
      .def(
          "__init__",
          [](Window* self, std::string stream, std::vector<double> offsets_s, std::int64_t last, bool on_samples,
             const nb::object& interp, const nb::object& outside, std::optional<std::int64_t> max_gap_ns,
             std::optional<std::int64_t> max_age_ns, std::string_view quaternion, std::vector<float> scale,
             std::vector<float> bias, const nb::object& dtype) {
            new (self)
                Window(make_window(std::move(stream), std::move(offsets_s), last, on_samples, interp, outside,
                                   max_gap_ns, max_age_ns, quaternion, std::move(scale), std::move(bias), dtype));
          },
          nb::kw_only(), nb::arg("stream"), nb::arg("offsets_s"), nb::arg("last"), nb::arg("on_samples"),
          nb::arg("interp").none(), nb::arg("outside"), nb::arg("max_gap_ns").none(), nb::arg("max_age_ns").none(),
          nb::arg("quaternion"), nb::arg("scale"), nb::arg("bias"), nb::arg("dtype").none());
  nb::class_<Windows>(m, "Windows", "include/robocache/windows.hpp says what it does.")
      .def(
          "__init__",
          [](Windows* self, std::shared_ptr<const Store> store, std::vector<Window> windows, std::string_view anchor) {
            new (self) Windows(std::move(store), std::move(windows), anchor);
          },
          nb::arg("store"), nb::arg("windows"), nb::arg("anchor"))
      .def_prop_ro("samples", &Windows::samples)
      .def("takes_samples", &Windows::takes_samples, nb::arg("window"))
      .def("read", &read_windows, nb::arg("samples"), nb::arg("like"),
           nb::sig("def read(self, samples: object, like: object) -> dict[str, typing.Any]"));
  nb::class_<PyLoader>(m, "Loader", "What `robocache.Loader` asks; include/robocache/loader.hpp has the meaning.")
      .def(
          "__init__",
          [](PyLoader* self, const Windows& windows, nb::object like, std::int64_t batch_size, bool shuffle,
             std::uint64_t seed, bool drop_last, std::int64_t rank, std::int64_t world_size, int prefetch, bool valid,
             bool age) {
            new (self) PyLoader(windows,
                                {.sampler = {.batch_size = batch_size,
                                             .shuffle = shuffle,
                                             .drop_last = drop_last,
                                             .seed = seed,
                                             .rank = rank,
                                             .world_size = world_size},
                                 .prefetch = prefetch,
                                 .marks = {.valid = valid, .age = age}},
                                std::move(like));
          },
          nb::arg("windows"), nb::arg("like"), nb::kw_only(), nb::arg("batch_size"), nb::arg("shuffle"),
          nb::arg("seed"), nb::arg("drop_last"), nb::arg("rank"), nb::arg("world_size"), nb::arg("prefetch"),
          nb::arg("valid"), nb::arg("age"))
      .def("next", &PyLoader::next, nb::sig("def next(self) -> dict[str, typing.Any]"))
      .def_prop_ro("samples", [](const PyLoader& l) { return l.loader().samples(); })
      .def_prop_ro("batches_left", [](const PyLoader& l) { return l.loader().batches_left(); })
      .def_prop_ro(
          "state",
          [](const PyLoader& l) {
            const SamplerState state = l.loader().state();
            return nb::make_tuple(state.epoch, state.position);
          },
          nb::sig("def state(self) -> tuple[int, int]"))
      .def(
          "seek", [](PyLoader& l, std::int64_t epoch, std::int64_t position) { l.loader().seek({epoch, position}); },
          nb::arg("epoch"), nb::arg("position"))
      .def("close", [](PyLoader& l) { l.loader().close(); }, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace robocache::python
