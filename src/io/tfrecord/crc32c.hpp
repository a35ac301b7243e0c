#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace robocache::io::tfrecord {

/// CRC-32C (Castagnoli), by the processor's instruction where active_isa() has one.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> data);

/// The same by tables, for any processor.
[[nodiscard]] std::uint32_t crc32c_by_table(std::span<const std::byte> data) noexcept;

/// What a TFRecord stores: rotated and shifted, so that a checksum of data that holds checksums stays sound.
[[nodiscard]] constexpr std::uint32_t mask(std::uint32_t crc) noexcept {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

}  // namespace robocache::io::tfrecord
