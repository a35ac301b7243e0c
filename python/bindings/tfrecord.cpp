#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "io/mapped_file.hpp"
#include "io/tfrecord/example.hpp"
#include "io/tfrecord/framing.hpp"

namespace robocache::python {

namespace nb = nanobind;
using namespace robocache::io;

namespace {

using File = std::shared_ptr<const MappedFile>;

template <class T>
using Array = nb::ndarray<nb::numpy, T, nb::ndim<1>>;

/// Hands memory to numpy.
template <class T>
Array<T> to_numpy(std::unique_ptr<T[]> values, std::size_t count) {
  T* const data = values.get();
  nb::capsule owner(data, [](void* memory) noexcept { delete[] static_cast<T*>(memory); });
  static_cast<void>(values.release());  // the capsule's now
  return Array<T>(data, {count}, std::move(owner));
}

/// One Example; keeps its file mapped.
class Example {
 public:
  Example(File file, std::uint64_t offset)
      : file_(std::move(file)),
        features_(tfrecord::parse_example(file_->source(), tfrecord::data_at(file_->source(), offset))) {}

  /// {key: kind of its list}
  [[nodiscard]] nb::dict kinds() const {
    constexpr std::string_view names[] = {"none", "bytes", "floats", "ints"};
    nb::dict out;
    for (const tfrecord::Feature& feature : features_) {
      const auto size = static_cast<Py_ssize_t>(feature.key.size());
      const nb::object key = nb::steal(PyUnicode_DecodeUTF8(feature.key.data(), size, "replace"));
      if (!key.is_valid()) nb::raise_python_error();
      const std::string_view kind = names[static_cast<std::size_t>(feature.kind)];
      out[key] = nb::str(kind.data(), kind.size());
    }
    return out;
  }

  [[nodiscard]] std::size_t count(std::string_view key) const {
    const tfrecord::Feature feature = find(key);
    const nb::gil_scoped_release release;
    return tfrecord::count_values(file_->source(), feature);
  }

  [[nodiscard]] Array<float> floats(std::string_view key) const {
    return numbers<float, &tfrecord::read_floats>(key, tfrecord::ListKind::floats);
  }

  [[nodiscard]] Array<std::int64_t> ints(std::string_view key) const {
    return numbers<std::int64_t, &tfrecord::read_ints>(key, tfrecord::ListKind::ints);
  }

  [[nodiscard]] nb::list byte_strings(std::string_view key) const {
    nb::list out;
    for (const auto value : tfrecord::read_bytes(file_->source(), find(key, tfrecord::ListKind::bytes))) {
      out.append(nb::bytes(value.data(), value.size()));
    }
    return out;
  }

 private:
  [[nodiscard]] tfrecord::Feature find(std::string_view key) const {
    const auto found = std::ranges::find(features_, key, &tfrecord::Feature::key);
    return found == features_.end() ? tfrecord::Feature{} : *found;
  }

  [[nodiscard]] tfrecord::Feature find(std::string_view key, tfrecord::ListKind kind) const {
    const tfrecord::Feature feature = find(key);
    if (feature.kind != kind && feature.kind != tfrecord::ListKind::none) {
      throw InvalidArgument("TFRecordExample: the list of '" + std::string(key) +
                            "' is of another kind, expected the one that kinds() says");
    }
    return feature;
  }

  template <class T, auto Read>
  [[nodiscard]] Array<T> numbers(std::string_view key, tfrecord::ListKind kind) const {
    const tfrecord::Feature feature = find(key, kind);
    std::size_t count = 0;
    std::unique_ptr<T[]> values;
    {
      const nb::gil_scoped_release release;
      count = tfrecord::count_values(file_->source(), feature);
      values = std::make_unique_for_overwrite<T[]>(count);
      Read(file_->source(), feature, {values.get(), count});
    }
    return to_numpy(std::move(values), count);
  }

  File file_;
  std::vector<tfrecord::Feature> features_;
};

/// Bytes of the path that are no UTF-8 are escaped in the name that errors give the file.
File open_file(const nb::bytes& path) {
  const nb::object name =
      nb::steal(PyUnicode_DecodeUTF8(path.c_str(), static_cast<Py_ssize_t>(path.size()), "backslashreplace"));
  if (!name.is_valid()) nb::raise_python_error();
  return std::make_shared<const MappedFile>(std::string(path.c_str(), path.size()), nb::cast<std::string>(name));
}

nb::tuple scan(const File& file) {
  tfrecord::Scan found;
  {
    const nb::gil_scoped_release release;
    found = tfrecord::scan(file->source());
  }
  const std::size_t count = found.records.size();
  auto offsets = std::make_unique_for_overwrite<std::int64_t[]>(count);
  for (std::size_t i = 0; i < count; ++i) offsets[i] = static_cast<std::int64_t>(found.records[i].offset);
  return nb::make_tuple(to_numpy(std::move(offsets), count), nb::str(found.damage.data(), found.damage.size()));
}

void check(const File& file, std::uint64_t offset) {
  const nb::gil_scoped_release release;
  tfrecord::check_data(file->source(), offset);
}

}  // namespace

void bind_tfrecord(nb::module_& m) {
  nb::class_<Example>(m, "TFRecordExample",
                      "A tf.train.Example in a TFRecord file: lists of values by key; of a key "
                      "that is not in it, an empty one.")
      .def("kinds", &Example::kinds, nb::sig("def kinds(self) -> dict[str, str]"),
           "The kind of each key's list: \"bytes\", \"floats\", \"ints\", or \"none\" where nothing is written.")
      .def("count", &Example::count, nb::arg("key"), "How many values the list of `key` has.")
      .def("floats", &Example::floats, nb::arg("key"), "The list of `key` as float32 [count].")
      .def("ints", &Example::ints, nb::arg("key"), "The list of `key` as int64 [count].")
      .def("byte_strings", &Example::byte_strings, nb::arg("key"),
           nb::sig("def byte_strings(self, key: str) -> list[bytes]"), "The list of `key`, each value copied.");

  // The holder is shared: an Example outlives the object that it came from.
  struct TFRecordFile {
    File file;
  };
  nb::class_<TFRecordFile>(m, "TFRecordFile", "A TFRecord file, mapped into memory.")
      .def(
          "__init__", [](TFRecordFile* self, const nb::bytes& path) { new (self) TFRecordFile{open_file(path)}; },
          nb::arg("path"))
      .def(
          "scan", [](const TFRecordFile& self) { return scan(self.file); },
          nb::sig("def scan(self) -> tuple[numpy.typing.NDArray[numpy.int64], str]"),
          "The offset of each record, up to the first damage, and what that is; empty when there is none. Reads "
          "headers alone.")
      .def(
          "check", [](const TFRecordFile& self, std::uint64_t offset) { check(self.file, offset); }, nb::arg("offset"),
          "Raises DataError when the checksum of the record at `offset` is not the stored one.")
      .def(
          "example", [](const TFRecordFile& self, std::uint64_t offset) { return Example(self.file, offset); },
          nb::arg("offset"), "The record at `offset` as an Example. Its data is not checked: see `check`.");
}

}  // namespace robocache::python
