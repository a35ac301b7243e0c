#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/host_device.hpp"

namespace robocache {

/// What the data itself got wrong, found by a kernel. 64 bits, so that a CUDA kernel reports it with one store.
struct Fault {
  enum class Code : std::uint8_t {
    none,
    stamps,   ///< stamps[row, item] decreases or is NaN
    length,   ///< lengths[row] is negative or more than the samples there are
    offsets,  ///< offsets[row], offsets[row + 1] decrease or leave the packed samples
    rows,     ///< rows[row] is not a segment
    outside   ///< at[row, item] is outside a stream whose policy is `error`
  };
  Code code = Code::none;
  std::uint32_t stream = 0;
  std::uint64_t row = 0;
  std::uint64_t item = 0;

  /// Ordered by stream, row, item; 0 is no fault. Positions beyond 24 bits (12 for streams) saturate.
  [[nodiscard]] ROBOCACHE_HD std::uint64_t encode() const {
    constexpr std::uint64_t wide = (1u << 24) - 1;
    constexpr std::uint64_t narrow = (1u << 12) - 1;
    const std::uint64_t s = stream < narrow ? stream : narrow;
    const std::uint64_t r = row < wide ? row : wide;
    const std::uint64_t i = item < wide ? item : wide;
    return s << 52 | r << 28 | i << 4 | static_cast<std::uint64_t>(code);
  }
  static Fault decode(std::uint64_t word) noexcept;
};

/// Where a CUDA kernel reports: `*word` gets the encoded fault, then `*flag` gets `ticket`. Null pointers: do not look.
struct FaultSink {
  std::uint64_t* word = nullptr;
  std::uint32_t* flag = nullptr;
  std::uint32_t ticket = 0;
};

/// The sentence for a fault: `op: streams[1].stamps is decreasing or NaN at row 3, sample 17, expected non-decreasing`.
/// `stream` says which stream, with a dot behind it ("streams['imu']."), or is empty where there is only one.
std::string describe(std::string_view op, const Fault& fault, std::string_view stream);

}  // namespace robocache
