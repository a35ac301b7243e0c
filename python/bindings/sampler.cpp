#include "robocache/sampler.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "array.hpp"
#include "bindings.hpp"

namespace robocache::python {

namespace {

void read_samples(const Sampler& sampler, std::int64_t epoch, std::int64_t first, nb::handle out) {
  Loans loans;
  const Borrowed lent = borrow(out, "Sampler", "out", nullptr, loans);
  const Check check{"Sampler"};
  check.dtype("out", lent.view, DType::i64);
  check.device("out", lent.view, {});
  check.shape("out", lent.view, {Check::Extent(lent.view.numel())});
  if (!lent.writable || lent.view.strides[0] != 1) check.fail("out", "read-only or with gaps", "a new array");
  const nb::gil_scoped_release release;
  sampler.read(epoch, first, {static_cast<std::int64_t*>(lent.view.data), static_cast<std::size_t>(lent.view.numel())});
}

nb::object next_part(Sampler& sampler) {
  const auto part = sampler.next();
  return part ? nb::object(nb::make_tuple(part->epoch, part->first, part->count)) : nb::none();
}

}  // namespace

void bind_sampler(nb::module_& m) {
  nb::class_<Sampler>(m, "Sampler", "What `robocache.Sampler` asks; include/robocache/sampler.hpp says what it means.")
      .def(
          "__init__",
          [](Sampler* self, std::vector<std::int64_t> counts, std::vector<double> weights,
             std::int64_t samples_per_epoch, std::int64_t batch_size, bool shuffle, bool drop_last, std::uint64_t seed,
             std::int64_t rank, std::int64_t world_size) {
            new (self) Sampler({.counts = std::move(counts),
                                .weights = std::move(weights),
                                .samples_per_epoch = samples_per_epoch,
                                .batch_size = batch_size,
                                .shuffle = shuffle,
                                .drop_last = drop_last,
                                .seed = seed,
                                .rank = rank,
                                .world_size = world_size});
          },
          nb::kw_only(), nb::arg("counts"), nb::arg("weights"), nb::arg("samples_per_epoch"), nb::arg("batch_size"),
          nb::arg("shuffle"), nb::arg("drop_last"), nb::arg("seed"), nb::arg("rank"), nb::arg("world_size"))
      .def_prop_ro("samples", &Sampler::samples)
      .def_prop_ro("batches_left", &Sampler::batches_left)
      .def_prop_ro(
          "state", [](const Sampler& s) { return nb::make_tuple(s.state().epoch, s.state().position); },
          nb::sig("def state(self) -> tuple[int, int]"))
      .def(
          "seek", [](Sampler& s, std::int64_t epoch, std::int64_t position) { s.seek({epoch, position}); },
          nb::arg("epoch"), nb::arg("position"))
      .def("next", &next_part, nb::sig("def next(self) -> tuple[int, int, int] | None"))
      .def("read", &read_samples, nb::arg("epoch"), nb::arg("first"), nb::arg("out"));
}

}  // namespace robocache::python
