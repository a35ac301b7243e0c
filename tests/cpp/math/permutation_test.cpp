#include "math/permutation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

namespace robocache {
namespace {

/// How many standard deviations a chi-square statistic of `freedom` degrees is off what chance gives.
double deviations(double chi_square, double freedom) { return (chi_square - freedom) / std::sqrt(2 * freedom); }

double chi_square(const std::vector<double>& counts, double expected) {
  double sum = 0;
  for (const double c : counts) sum += (c - expected) * (c - expected) / expected;
  return sum;
}

TEST(Permutation, HasEveryElementOnce) {
  for (const std::uint64_t size : {1, 2, 15, 16, 17, 255, 256, 257, 65535, 65536, 65537, 1000003}) {
    const Permutation order(size, size * 7);
    std::vector<bool> seen(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t element = order(i);
      ASSERT_LT(element, size);
      ASSERT_FALSE(seen[element]) << size << " " << i;
      seen[element] = true;
    }
  }
}

TEST(Permutation, HasItsRangeWhereItCannotBeListed) {
  for (const std::uint64_t size :
       {(std::uint64_t{1} << 32) + 1, (std::uint64_t{1} << 53) + 1, Permutation::kMostElements}) {
    const Permutation order(size, 1);
    std::map<std::uint64_t, std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      for (const std::uint64_t position : {i, size - 1 - i, size / 2000 * i + 2000}) {
        const std::uint64_t element = order(position);
        ASSERT_LT(element, size);
        ASSERT_TRUE(seen.emplace(element, position).second || seen[element] == position);
      }
    }
  }
}

TEST(Permutation, SmallOnesAreAllAlikeOften) {
  for (const std::uint64_t size : {2, 3, 4, 5}) {
    constexpr int kKeys = 60'000;
    std::map<std::uint64_t, double> times;
    double possible = 1;
    for (std::uint64_t i = 2; i <= size; ++i) possible *= static_cast<double>(i);
    for (std::uint64_t key = 0; key < kKeys; ++key) {
      const Permutation order(size, mix_keys(key, size));
      std::uint64_t name = 0;
      for (std::uint64_t i = 0; i < size; ++i) name = name * 10 + order(i);
      ++times[name];
    }
    std::vector<double> counts;
    for (const auto& [name, count] : times) counts.push_back(count);
    counts.resize(static_cast<std::size_t>(possible));  // those that never came
    EXPECT_LT(deviations(chi_square(counts, kKeys / possible), possible - 1), 4) << size;
  }
}

TEST(Permutation, ElementsAreEverywhereAlikeOften) {
  for (const std::uint64_t size : {16, 37, 257}) {
    constexpr int kKeys = 20'000;
    std::vector<double> counts(size * size);
    for (std::uint64_t key = 0; key < kKeys; ++key) {
      const Permutation order(size, mix_keys(key, 1));
      for (std::uint64_t i = 0; i < size; ++i) ++counts[i * size + order(i)];
    }
    const double n = static_cast<double>(size);
    EXPECT_LT(deviations(chi_square(counts, kKeys / n), (n - 1) * (n - 1)), 4) << size;
  }
}

TEST(Permutation, NeighboursFollowEachOtherByChance) {
  for (const std::uint64_t size : {16, 100, 257, 1000, 100'000}) {
    std::vector<double> steps(size);  // from an element to the next, round the end
    const std::uint64_t keys = 4'000'000 / size;
    for (std::uint64_t key = 0; key < keys; ++key) {
      const Permutation order(size, mix_keys(key, 2));
      std::uint64_t before = order(0);
      for (std::uint64_t i = 1; i < size; ++i) {
        const std::uint64_t element = order(i);
        ++steps[(element + size - before) % size];
        before = element;
      }
    }
    EXPECT_EQ(steps[0], 0);
    steps.erase(steps.begin());
    const double expected = static_cast<double>(keys * (size - 1)) / static_cast<double>(size - 1);
    EXPECT_LT(deviations(chi_square(steps, expected), static_cast<double>(size) - 2), 4) << size;
  }
}

}  // namespace
}  // namespace robocache
