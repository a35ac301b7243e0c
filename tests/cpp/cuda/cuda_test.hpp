#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "memory/cuda_memory.hpp"
#include "robocache/tensor.hpp"

namespace robocache::cuda_testing {

inline constexpr Device kGpu{DeviceKind::cuda, 0};

/// Skips without a device, and fails instead where ROBOCACHE_REQUIRE_CUDA=1.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() > 0) return;
    const char* required = std::getenv("ROBOCACHE_REQUIRE_CUDA");
    if (required != nullptr && std::strcmp(required, "1") == 0) FAIL() << cuda::why_no_device();
    GTEST_SKIP() << cuda::why_no_device();
  }
};

/// Device memory that many small copies are taken from, all at once given back. Allocated by the first copy: a fixture
/// may hold one where there is no device and every test is skipped.
class Arena {
 public:
  explicit Arena(std::size_t bytes) : bytes_(bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    if (memory_ != nullptr) cudaFree(memory_);
  }

  void reset() { used_ = 0; }

  /// A copy of host memory, as misaligned as the original is.
  template <class T>
  T* copy(const T* host, std::size_t bytes) {
    constexpr std::size_t kAligned = 256;
    if (memory_ == nullptr) {
      EXPECT_EQ(cudaMalloc(&memory_, bytes_), cudaSuccess);
    }
    const std::size_t skew = reinterpret_cast<std::uintptr_t>(host) % 16;
    std::byte* const to = static_cast<std::byte*>(memory_) + used_ + skew;
    used_ += (bytes + skew + kAligned) / kAligned * kAligned;
    if (used_ > bytes_) ADD_FAILURE() << "the arena is too small";
    EXPECT_EQ(cudaMemcpy(to, host, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return reinterpret_cast<T*>(to);
  }
  template <class T>
  T* copy(const std::vector<T>& host) {
    return copy(const_cast<T*>(host.data()), host.size() * sizeof(T));
  }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_;
  std::size_t used_ = 0;
};

template <class T>
std::vector<T> to_host(const T* device, std::size_t count) {
  std::vector<T> host(count);
  EXPECT_EQ(cudaMemcpy(host.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
  return host;
}

}  // namespace robocache::cuda_testing
