#include "io/tfrecord/crc32c.hpp"

#include <array>
#include <cstring>

#include "core/isa.hpp"

#if ROBOCACHE_ISA_LEVELS == 3
#include <nmmintrin.h>
#endif

namespace robocache::io::tfrecord {

namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78u;  // reflected
constexpr std::size_t kWord = sizeof(std::uint64_t);

using Tables = std::array<std::array<std::uint32_t, 256>, kWord>;

/// tables[k][b]: the remainder of byte b with k zero bytes after it.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? kPolynomial : 0u);
    tables[0][b] = crc;
  }
  for (std::size_t k = 1; k < kWord; ++k) {
    for (std::size_t b = 0; b < 256; ++b) {
      const std::uint32_t before = tables[k - 1][b];
      tables[k][b] = (before >> 8) ^ tables[0][before & 0xffu];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

#if ROBOCACHE_ISA_LEVELS == 3
// Every processor with AVX2 has it.
__attribute__((target("sse4.2"))) std::uint32_t crc32c_by_instruction(std::span<const std::byte> data) {
  std::uint64_t crc = 0xffffffffu;
  const std::byte* at = data.data();
  std::size_t left = data.size();
  for (; left >= kWord; at += kWord, left -= kWord) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, kWord);
    crc = _mm_crc32_u64(crc, word);
  }
  auto tail = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++at, --left) tail = _mm_crc32_u8(tail, std::to_integer<unsigned char>(*at));
  return ~tail;
}
#endif

}  // namespace

std::uint32_t crc32c_by_table(std::span<const std::byte> data) noexcept {
  std::uint32_t crc = 0xffffffffu;
  const std::byte* at = data.data();
  std::size_t left = data.size();
  const auto value = [&at](std::size_t i) { return std::to_integer<std::uint32_t>(at[i]); };
  for (; left >= kWord; at += kWord, left -= kWord) {
    // The state covers the first four bytes of the word; byte by byte, so that it is the same on any endianness.
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < kWord; ++i) {
      const std::uint32_t state = i < 4 ? (crc >> (8 * i)) & 0xffu : 0u;
      next ^= kTables[kWord - 1 - i][value(i) ^ state];
    }
    crc = next;
  }
  for (; left > 0; ++at, --left) crc = (crc >> 8) ^ kTables[0][(crc ^ value(0)) & 0xffu];
  return ~crc;
}

std::uint32_t crc32c(std::span<const std::byte> data) {
#if ROBOCACHE_ISA_LEVELS == 3
  if (active_isa() != Isa::baseline) return crc32c_by_instruction(data);
#endif
  return crc32c_by_table(data);
}

}  // namespace robocache::io::tfrecord
