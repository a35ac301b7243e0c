#include "io/tfrecord/wire.hpp"

#include <string>

namespace robocache::io::tfrecord {

void Cursor::fail(std::string_view what) const {
  file_.fail("tfrecord", static_cast<std::size_t>(left_.data() - file_.bytes.data()), what);
}

std::span<const std::byte> Cursor::take(std::size_t count) {
  if (count > left_.size()) {
    fail("message ends after " + std::to_string(left_.size()) + " bytes, expected " + std::to_string(count) + " more");
  }
  const std::span<const std::byte> taken = left_.first(count);
  left_ = left_.subspan(count);
  return taken;
}

std::uint64_t Cursor::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = std::to_integer<std::uint64_t>(take(1)[0]);
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7fu) << shift;
    if (byte < 0x80) return value;
  }
  fail("varint is longer than 64 bits");
}

std::uint32_t Cursor::fixed32() {
  const std::span<const std::byte> bytes = take(4);
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(bytes[i]) << (8 * i);
  return value;
}

std::span<const std::byte> Cursor::chunk() { return take(varint()); }

Tag Cursor::tag() {
  const std::uint64_t key = varint();
  const auto wire = static_cast<Wire>(key & 7u);
  if (wire != Wire::varint && wire != Wire::fixed64 && wire != Wire::chunk && wire != Wire::fixed32) {
    fail("wire type is " + std::to_string(key & 7u) + ", expected 0, 1, 2 or 5");
  }
  if (key >> 3 == 0) fail("field number is 0, expected 1 or more");
  return {key >> 3, wire};
}

void Cursor::skip(Wire wire) {
  switch (wire) {
    case Wire::varint:
      varint();
      break;
    case Wire::fixed64:
      take(8);
      break;
    case Wire::chunk:
      chunk();
      break;
    case Wire::fixed32:
      take(4);
      break;
  }
}

}  // namespace robocache::io::tfrecord
