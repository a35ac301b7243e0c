#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/source.hpp"

// A naive writer of TFRecord files, from the formats' definitions alone.
namespace robocache::io::tfrecord::test {

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline Source source(std::string_view file) { return {"a.tfrecord", as_bytes(file)}; }

/// Bit by bit.
inline std::uint32_t naive_crc32c(std::string_view data) {
  std::uint32_t crc = ~0u;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1u) != 0 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}

inline std::string fixed(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

inline std::string masked(std::string_view data) {
  const std::uint32_t crc = naive_crc32c(data);
  return fixed(std::uint32_t{((crc >> 15) | (crc << 17)) + 0xa282ead8u}, 4);
}

inline std::string frame(const std::string& data) {
  const std::string length = fixed(data.size(), 8);
  return length + masked(length) + data + masked(data);
}

inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80u);
  return out + static_cast<char>(value);
}

inline std::string field(unsigned number, unsigned wire, const std::string& payload) {
  return varint((number << 3) | wire) + payload;
}

inline std::string chunk(unsigned number, const std::string& payload) {
  return field(number, 2, varint(payload.size()) + payload);
}

inline std::string bits(float value) {
  std::uint32_t word = 0;
  std::memcpy(&word, &value, sizeof(word));
  return fixed(word, 4);
}

inline std::string floats(const std::vector<float>& values, bool packed = true) {
  std::string list;
  for (const float value : values) list += packed ? bits(value) : field(1, 5, bits(value));
  return chunk(2, packed ? chunk(1, list) : list);
}

inline std::string ints(const std::vector<std::int64_t>& values, bool packed = true) {
  std::string list;
  for (const std::int64_t value : values) {
    const std::string text = varint(static_cast<std::uint64_t>(value));
    list += packed ? text : field(1, 0, text);
  }
  return chunk(3, packed ? chunk(1, list) : list);
}

inline std::string strings(const std::vector<std::string>& values) {
  std::string list;
  for (const std::string& value : values) list += chunk(1, value);
  return chunk(1, list);
}

/// Keys with features, each made by one of the three above.
inline std::string example(const std::vector<std::pair<std::string, std::string>>& features) {
  std::string map;
  for (const auto& [key, feature] : features) map += chunk(1, chunk(1, key) + chunk(2, feature));
  return chunk(1, map);
}

}  // namespace robocache::io::tfrecord::test
