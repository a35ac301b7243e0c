#include "core/isa.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace robocache {
namespace {

// active_isa() reads the environment once: each case asks a process of its own.
void expect_active(const char* wanted, Isa expected) {
  EXPECT_EXIT(
      {
        setenv("ROBOCACHE_ISA", wanted, 1);
        std::exit(active_isa() == expected ? 0 : 1);
      },
      testing::ExitedWithCode(0), "")
      << wanted;
}

class IsaDeathTest : public testing::Test {
 protected:
  // The default style forks, and the child would inherit a level that is read already.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

Isa lower(Isa a, Isa b) { return a < b ? a : b; }

TEST_F(IsaDeathTest, EnvironmentLowersTheLevel) {
  Isa best = Isa::baseline;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) best = Isa::avx2;
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) best = Isa::avx512;
#endif
  expect_active("", best);
  expect_active("baseline", Isa::baseline);
  expect_active("avx2", lower(best, Isa::avx2));
  expect_active("avx512", best);
}

TEST_F(IsaDeathTest, UnknownLevelIsAnError) {
  EXPECT_EXIT(
      {
        setenv("ROBOCACHE_ISA", "sse9", 1);
        try {
          active_isa();
        } catch (const std::exception& error) {
          std::fputs(error.what(), stderr);
          std::exit(3);
        }
      },
      testing::ExitedWithCode(3), "ROBOCACHE_ISA is 'sse9', expected baseline, avx2 or avx512");
}

TEST(Isa, ActiveLevelIsBuiltAndNamed) {
  EXPECT_TRUE(contains(BuiltIsas{}, active_isa()));
  EXPECT_EQ(name(Isa::baseline), "baseline");
  EXPECT_EQ(name(Isa::avx2), "avx2");
  EXPECT_EQ(name(Isa::avx512), "avx512");
}

}  // namespace
}  // namespace robocache
