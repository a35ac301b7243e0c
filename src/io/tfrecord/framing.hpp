#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/source.hpp"

// A TFRecord file is frames without anything between them, little-endian:
//   u64 length | u32 masked crc of these 8 bytes | data | u32 masked crc of the data
namespace robocache::io::tfrecord {

/// Where a record is: its frame starts at `offset` and holds `length` bytes of data.
struct Record {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// The records up to the first damage, and what that is; empty when there is none.
struct Scan {
  std::vector<Record> records;
  std::string damage;
};

/// Walks the frames. Reads and checks headers alone: 12 bytes a record, whatever the size of its data.
[[nodiscard]] Scan scan(const Source& file);

/// The data of the frame at `offset`, its header checked. Throws DataError: cut off, checksum of the length.
[[nodiscard]] std::span<const std::byte> data_at(const Source& file, std::uint64_t offset);

/// Throws DataError when the checksum of the data of the frame at `offset` is not the stored one; reads all of it.
void check_data(const Source& file, std::uint64_t offset);

}  // namespace robocache::io::tfrecord
