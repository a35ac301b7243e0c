#include "memory/growing_block.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "robocache/error.hpp"

namespace robocache {
namespace {

void fill(GrowingBlock& block, std::size_t bytes, std::size_t step) {
  while (block.size() < bytes) {
    block.reserve_more("test", step);
    const std::size_t first = block.size();
    std::byte* const out = block.extend(step);
    for (std::size_t i = 0; i < step; ++i) out[i] = static_cast<std::byte>((first + i) % 251);
  }
}

std::size_t first_difference(const GrowingBlock& block) {
  std::size_t i = 0;
  while (i < block.size() && block.data()[i] == static_cast<std::byte>(i % 251)) ++i;
  return i;
}

TEST(GrowingBlock, KeepsWhatIsInItFromBytesToMappings) {
  for (const std::size_t bytes : {1u, 64u, 1000u, 131'071u, 131'072u, 131'073u, 5'000'000u}) {
    GrowingBlock block;
    fill(block, bytes, 1 + bytes / 77);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.data()) % 64, 0u);
    EXPECT_EQ(first_difference(block), block.size());
    block.trim();
    EXPECT_EQ(first_difference(block), block.size()) << bytes;
    EXPECT_LT(block.capacity() - block.size(), block.size() < 131'072 ? 64u : 65'536u);
    fill(block, 3 * bytes, 1 + bytes / 5);
    EXPECT_EQ(first_difference(block), block.size()) << bytes;
  }
}

TEST(GrowingBlock, TrimmedToASmallOneItKeepsItsBytes) {
  GrowingBlock block;
  fill(block, 500, 500);
  block.reserve_more("test", 10'000'000);
  EXPECT_GE(block.capacity(), 10'000'500u);
  block.trim();
  EXPECT_EQ(block.capacity(), 512u);
  EXPECT_EQ(first_difference(block), 500u);
}

TEST(GrowingBlock, WithoutAnythingItTakesNothing) {
  GrowingBlock block;
  block.reserve_more("test", 0);
  EXPECT_EQ(block.capacity(), 0u);
  block.reserve_more("test", 100);
  block.trim();
  EXPECT_EQ(block.capacity(), 0u);
  EXPECT_EQ(block.data(), nullptr);
}

TEST(GrowingBlock, MovesAndSaysWhatThereIsTooLittleFor) {
  GrowingBlock block;
  fill(block, 300, 100);
  GrowingBlock other = std::move(block);
  EXPECT_EQ(first_difference(other), 300u);
  for (const std::size_t bytes : {std::size_t{1} << 50, SIZE_MAX}) {
    try {
      other.reserve_more("test", bytes);
      FAIL() << bytes;
    } catch (const OutOfMemory& e) {
      EXPECT_NE(std::string(e.what()).find("test: free memory is "), std::string::npos) << e.what();
    }
  }
  EXPECT_EQ(first_difference(other), 300u);
}

}  // namespace
}  // namespace robocache
