#include "robocache/memory.hpp"

#include <gtest/gtest.h>

#include <string>

#include "core/build.hpp"
#include "robocache/error.hpp"

namespace robocache {
namespace {

template <class F>
std::string unsupported(const F& f) {
  try {
    f();
  } catch (const Unsupported& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Memory, ABuildWithoutCudaSaysSo) {
  if (build::cuda) GTEST_SKIP() << "a build with CUDA";
  EXPECT_EQ(cuda_device_count(), 0);
  EXPECT_NE(unsupported([] { pinned_memory(); }).find("pinned_memory: this is a build without CUDA"),
            std::string::npos);
  EXPECT_NE(unsupported([] { device_memory(2); }).find("device_memory(2): this is a build without CUDA"),
            std::string::npos);
}

TEST(Memory, DeviceCountIsNeverNegative) { EXPECT_GE(cuda_device_count(), 0); }

}  // namespace
}  // namespace robocache
