#include "io/tfrecord/framing.hpp"

#include "io/tfrecord/crc32c.hpp"

namespace robocache::io::tfrecord {

namespace {

constexpr std::size_t kLength = 8;
constexpr std::size_t kCrc = 4;
constexpr std::size_t kHeader = kLength + kCrc;

template <class T>
T little_endian(std::span<const std::byte> bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(std::to_integer<T>(bytes[i]) << (8 * i));
  return value;
}

std::string hex(std::uint32_t value) {
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[(value >> shift) & 0xfu];
  return text;
}

void compare(const Source& file, std::uint64_t offset, const char* of, std::uint32_t found, std::uint32_t stored) {
  if (found == stored) return;
  file.fail("tfrecord", offset,
            std::string("checksum of the ") + of + " of this record is " + hex(found) + ", expected " + hex(stored));
}

}  // namespace

std::span<const std::byte> data_at(const Source& file, std::uint64_t offset) {
  const std::uint64_t size = file.bytes.size();
  const std::uint64_t left = offset < size ? size - offset : 0;
  const auto cut_off = [&](const std::string& want) {
    file.fail("tfrecord", offset, "record is cut off after " + std::to_string(left) + " bytes, expected " + want);
  };
  if (left < kHeader) cut_off("a header of " + std::to_string(kHeader));
  const std::span<const std::byte> frame = file.bytes.subspan(offset);
  compare(file, offset, "length", mask(crc32c(frame.first(kLength))),
          little_endian<std::uint32_t>(frame.subspan(kLength, kCrc)));
  const auto length = little_endian<std::uint64_t>(frame.first(kLength));
  if (left - kHeader < kCrc || length > left - kHeader - kCrc) {
    cut_off("a header, " + std::to_string(length) + " of data and a checksum");
  }
  return frame.subspan(kHeader, length);
}

void check_data(const Source& file, std::uint64_t offset) {
  const std::span<const std::byte> data = data_at(file, offset);
  compare(file, offset, "data", mask(crc32c(data)),
          little_endian<std::uint32_t>(file.bytes.subspan(offset + kHeader + data.size(), kCrc)));
}

Scan scan(const Source& file) {
  Scan found;
  try {
    for (std::uint64_t offset = 0; offset < file.bytes.size();) {
      const std::uint64_t length = data_at(file, offset).size();
      found.records.push_back({offset, length});
      offset += kHeader + length + kCrc;
    }
  } catch (const DataError& error) {
    found.damage = error.what();
  }
  return found;
}

}  // namespace robocache::io::tfrecord
