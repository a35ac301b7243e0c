#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/source.hpp"

namespace robocache::io::tfrecord {

/// How protobuf writes a field.
enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, chunk = 2, fixed32 = 5 };

struct Tag {
  std::uint64_t field = 0;
  Wire wire = Wire::varint;
};

/// Reads one protobuf message; never beyond its end. Throws DataError with the byte in the file.
class Cursor {
 public:
  Cursor(const Source& file, std::span<const std::byte> message) : file_(file), left_(message) {}

  [[nodiscard]] bool done() const noexcept { return left_.empty(); }
  Tag tag();
  std::uint64_t varint();
  std::uint32_t fixed32();
  /// The bytes of a string, a message or a packed list.
  std::span<const std::byte> chunk();
  /// Passes over a field of no interest.
  void skip(Wire wire);
  [[noreturn]] void fail(std::string_view what) const;

 private:
  std::span<const std::byte> take(std::size_t count);

  Source file_;
  std::span<const std::byte> left_;
};

}  // namespace robocache::io::tfrecord
