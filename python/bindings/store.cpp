#include "robocache/store.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "array.hpp"
#include "bindings.hpp"

namespace robocache::python {

namespace {

constexpr std::string_view kOp = "StoreBuilder";

using StreamTuple = std::tuple<std::string, std::string, std::vector<std::int64_t>, double>;
using NumpyView = nb::ndarray<nb::numpy, nb::ro>;

DType dtype_named(const std::string& text, std::size_t stream) {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
    const auto dtype = static_cast<DType>(i);
    // numpy has no bfloat16, and what is held here is seen as numpy arrays.
    if (dtype != DType::bf16 && name(dtype) == text) return dtype;
  }
  Check{kOp}.fail({"streams", stream, {}, "dtype"}, "'" + text + "'", "a float, integer or bool dtype of numpy");
}

/// Calls of several threads come one after the other: copying lets go of the GIL.
class LockedBuilder {
 public:
  explicit LockedBuilder(std::vector<StoreStream> streams) : streams_(streams), builder_(std::move(streams)) {}

  [[nodiscard]] const std::vector<StoreStream>& streams() const { return streams_; }

  void append(std::int64_t episode_index, std::span<const EpisodeStream> episode) {
    const std::lock_guard lock(mutex_);
    builder_.append(episode_index, episode);
  }
  std::shared_ptr<const Store> finish() {
    const std::lock_guard lock(mutex_);
    return builder_.finish();
  }

 private:
  std::vector<StoreStream> streams_;
  std::mutex mutex_;
  StoreBuilder builder_;
};

/// [S, ...shape] as [S, D].
ConstTensor rows_of(const ConstTensor& array, std::size_t i, const StoreStream& stream) {
  const Check check{kOp};
  const Subject subject{"streams", i, stream.name, "values"};
  const auto rank = static_cast<std::int32_t>(stream.shape.size());
  bool fits = array.rank == rank + 1;
  bool packed = true;
  std::int64_t width = 1;
  for (std::int32_t axis = rank; fits && axis > 0; --axis) {
    fits = array.shape[axis] == stream.shape[static_cast<std::size_t>(axis - 1)];
    packed = packed && (array.shape[axis] <= 1 || array.strides[axis] == width);
    width *= array.shape[axis];
  }
  if (!fits) check.fail(subject, shape_text(array), "S samples of " + shape_text(stream.shape));
  if (!packed && array.numel() > 0) check.fail(subject, "an array with gaps", "contiguous samples");
  ConstTensor rows(array.data, array.dtype, {array.shape[0], width}, array.device);
  rows.strides[0] = array.strides[0];
  return rows;
}

void append(LockedBuilder& builder, std::int64_t episode_index,
            const std::vector<std::pair<nb::object, nb::object>>& arrays) {
  const std::vector<StoreStream>& streams = builder.streams();
  if (arrays.size() != streams.size()) {
    Check{kOp}.fail("streams", std::to_string(arrays.size()) + " arrays", std::to_string(streams.size()));
  }
  Loans loans;
  std::vector<EpisodeStream> episode;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const auto borrowed = [&](const nb::object& array, const char* member) {
      return ConstTensor(borrow(array, kOp, {"streams", i, streams[i].name, member}, nullptr, loans).view);
    };
    episode.push_back({rows_of(borrowed(arrays[i].first, "values"), i, streams[i]),  //
                       borrowed(arrays[i].second, "stamps_ns")});
  }
  const nb::gil_scoped_release release;
  builder.append(episode_index, episode);
}

/// A read-only array of the store's own memory, which it keeps alive.
NumpyView view_of(nb::handle store, const void* data, DType dtype, const std::vector<std::int64_t>& shape) {
  const dlpack::DLDataType type = to_dlpack(dtype);
  const std::vector<std::size_t> sizes(shape.begin(), shape.end());
  return {data, sizes.size(), sizes.data(), store, nullptr, nb::dlpack::dtype{type.code, type.bits, type.lanes}};
}

const Store::Column& column_of(nb::handle store, std::size_t column) {
  const auto columns = nb::cast<const Store&>(store).columns();
  if (column >= columns.size()) throw nb::index_error("Store: no such column");
  return columns[column];
}

const Store::Clock& clock_of(nb::handle store, std::size_t column) {
  const auto clock = static_cast<std::size_t>(column_of(store, column).clock);
  return nb::cast<const Store&>(store).clocks()[clock];
}

NumpyView values_of(nb::handle store, std::size_t i) {
  const Store::Column& column = column_of(store, i);
  std::vector<std::int64_t> shape = column.stream.shape;
  shape.insert(shape.begin(), column.values.shape[0]);
  return view_of(store, column.values.data, column.values.dtype, shape);
}

NumpyView integers_of(nb::handle store, const ConstTensor& tensor) {
  return view_of(store, tensor.data, DType::i64, {tensor.shape[0]});
}

std::vector<std::tuple<std::string, std::string, std::vector<std::int64_t>, double, std::int64_t>> streams_of(
    const Store& store) {
  std::vector<std::tuple<std::string, std::string, std::vector<std::int64_t>, double, std::int64_t>> streams;
  for (const auto& [stream, values, clock] : store.columns()) {
    streams.emplace_back(stream.name, name(stream.dtype), stream.shape, stream.rate_hz, clock);
  }
  return streams;
}

/// The arrays. "Any" is numpy's ndarray; the stub would say NDArray of nothing.
void bind_arrays(nb::class_<Store>& type) {
  type.def_prop_ro(
          "episode_index",
          [](nb::handle self) {
            const auto index = nb::cast<const Store&>(self).episode_index();
            return view_of(self, index.data(), DType::i64, {static_cast<std::int64_t>(index.size())});
          },
          nb::sig("def episode_index(self) -> Any"))
      .def("values", &values_of, nb::arg("column"), nb::sig("def values(self, column: int) -> Any"), "[N, ...shape]")
      .def(
          "stamps_ns", [](nb::handle self, std::size_t i) { return integers_of(self, clock_of(self, i).stamps_ns); },
          nb::arg("column"), nb::sig("def stamps_ns(self, column: int) -> Any"), "[N]")
      .def(
          "offsets", [](nb::handle self, std::size_t i) { return integers_of(self, clock_of(self, i).offsets); },
          nb::arg("column"), nb::sig("def offsets(self, column: int) -> Any"), "[E + 1]")
      .def(
          "clock_rate_hz", [](nb::handle self, std::size_t i) { return clock_of(self, i).rate_hz; }, nb::arg("column"));
}

}  // namespace

void bind_store(nb::module_& m) {
  nb::class_<Store> store(m, "Store",
                          "What `robocache.Store` reads from; include/robocache/store.hpp says what it is.");
  bind_arrays(store);
  store.def_prop_ro("episodes", &Store::episodes)
      .def_prop_ro("streams", &streams_of, "(name, dtype, shape, rate_hz, clock) of each column")
      .def(
          "memory",
          [](const Store& self) {
            const StoreMemory memory = self.memory();
            return std::tuple(memory.host, memory.pinned, memory.device);
          },
          "bytes (host, pinned, device)");

  nb::class_<LockedBuilder>(m, "StoreBuilder", "What `robocache.StoreBuilder` fills.")
      .def(
          "__init__",
          [](LockedBuilder* self, const std::vector<StreamTuple>& streams) {
            std::vector<StoreStream> list;
            for (const auto& [name, dtype, shape, rate_hz] : streams) {
              list.push_back({name, dtype_named(dtype, list.size()), shape, rate_hz});
            }
            new (self) LockedBuilder(std::move(list));
          },
          nb::arg("streams"), "(name, dtype, shape, rate_hz) of each")
      .def("append", &append, nb::arg("episode_index"), nb::arg("arrays"), "arrays: (values, stamps_ns) of each stream")
      .def("finish", [](LockedBuilder& self) {
        const nb::gil_scoped_release release;
        return self.finish();
      });
}

}  // namespace robocache::python
