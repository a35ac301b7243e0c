#include "core/index_list.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace robocache {
namespace {

TEST(IndexList, FindsTheFirstNumberAbove) {
  const std::vector<std::int32_t> numbers = {2, 2, 5, 9, 9, 9, 12};
  std::vector<std::int64_t> pitched;
  for (std::int32_t n : numbers) pitched.insert(pitched.end(), {n, -1});
  for (std::int64_t size = 0; size <= 7; ++size) {
    for (std::int64_t n = 0; n < 14; ++n) {
      const auto end = numbers.begin() + size;
      const std::int64_t want = std::find_if(numbers.begin(), end, [&](auto v) { return v > n; }) - numbers.begin();
      EXPECT_EQ((IndexList{numbers.data(), 1, false}.first_above(n, size)), want) << n << " of " << size;
      EXPECT_EQ((IndexList{pitched.data(), 2, true}.first_above(n, size)), want) << n << " of " << size;
    }
  }
}

}  // namespace
}  // namespace robocache
