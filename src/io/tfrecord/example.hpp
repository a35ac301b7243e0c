#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "io/source.hpp"

// tf.train.Example, in protobuf:
//   Example  {1: Features}      Features {1: map<string, Feature>}, entries {1: key, 2: Feature}
//   Feature  {1: BytesList or 2: FloatList or 3: Int64List}      each list {1: repeated}, packed or not
namespace robocache::io::tfrecord {

/// The list of a feature by its field number; `none` where nothing is written, as for an empty list.
enum class ListKind : std::uint8_t { none = 0, bytes = 1, floats = 2, ints = 3 };

/// A key and where its list is. Nothing of the list is read yet.
struct Feature {
  std::string_view key;
  ListKind kind = ListKind::none;
  std::span<const std::byte> list;
};

/// The features of an Example whose bytes are `data`, a part of `file`; of a key that occurs twice the last one, and of
/// two lists in a feature too. Throws DataError, as all below, with the byte in the file.
[[nodiscard]] std::vector<Feature> parse_example(const Source& file, std::span<const std::byte> data);

/// Values in the list, whatever its kind.
[[nodiscard]] std::size_t count_values(const Source& file, const Feature& feature);

// The list must be of that kind, or none.
[[nodiscard]] std::vector<std::span<const std::byte>> read_bytes(const Source& file, const Feature& feature);
/// `out` holds count_values().
void read_floats(const Source& file, const Feature& feature, std::span<float> out);
void read_ints(const Source& file, const Feature& feature, std::span<std::int64_t> out);

}  // namespace robocache::io::tfrecord
