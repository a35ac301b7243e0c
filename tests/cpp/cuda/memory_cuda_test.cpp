#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "cuda/device_guard.hpp"
#include "cuda_test.hpp"
#include "robocache/align.hpp"
#include "robocache/error.hpp"
#include "robocache/memory.hpp"

namespace robocache {
namespace {

using namespace cuda_testing;

class CudaMemory : public CudaTest {};

TEST(CudaDiscovery, SaysWhyThereIsNoDevice) {
  EXPECT_EQ(cuda::device_count() == 0, !cuda::why_no_device().empty()) << cuda::why_no_device();
  EXPECT_EQ(cuda::device_count(), cuda_device_count());
}

TEST_F(CudaMemory, DeviceBlocksAreAlignedAndHoldData) {
  MemoryResource& memory = device_memory(0);
  EXPECT_EQ(memory.device(), kGpu);
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{257}, std::size_t{5} << 20}) {
    void* const block = memory.allocate(bytes, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0U);
    EXPECT_EQ(cudaMemset(block, 7, bytes), cudaSuccess);
    EXPECT_EQ(to_host(static_cast<char*>(block), bytes), std::vector<char>(bytes, 7));
    memory.deallocate(block, bytes, nullptr);
  }
  EXPECT_EQ(memory.allocate(0, nullptr), nullptr);
  memory.deallocate(nullptr, 0, nullptr);
}

TEST_F(CudaMemory, TooMuchIsOutOfMemoryAndHarmless) {
  for (const int bits : {50, 62, 63}) {
    EXPECT_THROW(static_cast<void>(device_memory(0).allocate(std::size_t{1} << bits, nullptr)), OutOfMemory) << bits;
  }
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the error was left for the next call to find";
}

TEST_F(CudaMemory, DevicesThatAreNotThere) {
  for (const int index : {-1, cuda::device_count(), 1000}) {
    EXPECT_THROW(device_memory(index), CudaError) << index;
    EXPECT_THROW(const cuda::DeviceGuard guard(index), CudaError) << index;
  }
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(CudaMemory, PinnedBlocksAreSeenByTheDeviceAndUsedAgain) {
  MemoryResource& memory = pinned_memory();
  EXPECT_EQ(memory.device(), Device{});
  char* const block = static_cast<char*>(memory.allocate(10'000, nullptr));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0U);
  EXPECT_EQ(cudaMemset(block, 5, 10'000), cudaSuccess);  // through the device
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(std::string(block, 10'000), std::string(10'000, 5));
  memory.deallocate(block, 10'000, nullptr);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  void* const again = memory.allocate(9'000, nullptr);
  EXPECT_EQ(again, block);
  memory.deallocate(again, 9'000, nullptr);
}

TEST_F(CudaMemory, PinnedBlocksWaitForTheirStream) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  cudaStream_t queue = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking), cudaSuccess);
  MemoryResource& pinned = pinned_memory();
  void* const device = device_memory(0).allocate(kBytes, queue);
  void* const block = pinned.allocate(kBytes, queue);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(cudaMemcpyAsync(device, block, kBytes, cudaMemcpyHostToDevice, queue), cudaSuccess);
  }
  pinned.deallocate(block, kBytes, queue);
  void* const meanwhile = pinned.allocate(kBytes, queue);
  EXPECT_NE(meanwhile, block) << "given out while the copies still read it";
  pinned.deallocate(meanwhile, kBytes, queue);
  device_memory(0).deallocate(device, kBytes, queue);
  ASSERT_EQ(cudaStreamSynchronize(queue), cudaSuccess);
  cudaStreamDestroy(queue);
}

TEST_F(CudaMemory, ThreadsShareThePools) {
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([] {
      for (std::size_t i = 1; i < 200; ++i) {
        void* const block = device_memory(0).allocate(i * 1000, nullptr);
        void* const pinned = pinned_memory().allocate(i * 100, nullptr);
        EXPECT_EQ(cudaMemcpy(block, pinned, i * 100, cudaMemcpyHostToDevice), cudaSuccess);
        pinned_memory().deallocate(pinned, i * 100, nullptr);
        device_memory(0).deallocate(block, i * 1000, nullptr);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// In the child of a fork CUDA says what is wrong, and the CPU works.
TEST_F(CudaMemory, AForkedProcessIsTold) {
  {
    const cuda::DeviceGuard guard(0);
  }
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int wrong = 0;
    try {
      const cuda::DeviceGuard guard(0);
      wrong |= 1;
    } catch (const CudaError& error) {
      if (std::string(error.what()).find("forked") == std::string::npos) wrong |= 2;
    }
    try {
      static_cast<void>(device_memory(0).allocate(100, nullptr));
      wrong |= 4;
    } catch (const CudaError&) {
    }
    if (cuda_device_count() != 0 || cuda::why_no_device().find("forked") == std::string::npos) wrong |= 8;
    float value[2] = {0, 2};
    std::int64_t stamp[2] = {0, 2};
    std::int64_t at = 1;
    float out = -1;
    Stream stream;
    stream.values = {value, DType::f32, {1, 2, 1}};
    stream.stamps = {stamp, DType::i64, {1, 2}};
    resample(stream, ConstTensor(&at, DType::i64, {1, 1}), Tensor(&out, DType::f32, {1, 1, 1}));
    if (out != 1) wrong |= 16;
    _exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace robocache
