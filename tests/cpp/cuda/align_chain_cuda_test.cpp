// Kernels may begin before the ones before them on their stream have ended. Here each call reads what the one before it
// wrote, and writes what the one before that read.
#include <functional>
#include <random>

#include "cuda_test.hpp"
#include "robocache/align.hpp"

namespace robocache {
namespace {

using namespace cuda_testing;

constexpr std::int64_t kBatch = 96;
constexpr std::int64_t kRows = 64;
constexpr std::int64_t kColumns = 32;
constexpr std::size_t kValues = kBatch * kRows * kColumns;
constexpr int kCalls = 61;
constexpr int kBuffers = 3;

/// kCalls calls in a row through a ring of buffers, the last of which is left in buffer kCalls % kBuffers.
struct Chain {
  float* buffers[kBuffers];
  std::int64_t* stamps;
  std::int64_t* at;
  Device device;

  void run(const std::function<void(float*, const float*)>& copy, void* queue) const {
    for (int k = 0; k < kCalls; ++k) {
      const float* from = buffers[k % kBuffers];
      float* const to = buffers[(k + 1) % kBuffers];
      if (k % 7 == 6) {  // not a kernel of ours
        copy(to, from);
        continue;
      }
      Stream stream;
      stream.values = {from, DType::f32, {kBatch, kRows, kColumns}, device};
      stream.stamps = {stamps, DType::i64, {kBatch, kRows}, device};
      resample(stream, ConstTensor(at, DType::i64, {kBatch, kRows}, device),
               Tensor(to, DType::f32, {kBatch, kRows, kColumns}, device), DataCheck::automatic, {.stream = queue});
    }
  }
};

class CudaAlignChain : public CudaTest {
 protected:
  CudaAlignChain() {
    std::mt19937_64 random(11);
    for (std::int64_t b = 0; b < kBatch; ++b) {
      for (std::int64_t s = 0; s < kRows; ++s) {
        stamps_.push_back(1000 * s);
        at_.push_back(1000 * s + static_cast<std::int64_t>(random() % 1000));
      }
    }
    for (std::vector<float>& buffer : buffers_) {
      for (std::size_t i = 0; i < kValues; ++i) buffer.push_back(static_cast<float>(random() % 65536) / 7.0F);
    }
  }

  std::vector<float> on_cpu() {
    std::vector<float> buffers[kBuffers] = {buffers_[0], buffers_[1], buffers_[2]};
    const Chain chain{{buffers[0].data(), buffers[1].data(), buffers[2].data()}, stamps_.data(), at_.data(), {}};
    chain.run([](float* to, const float* from) { std::memcpy(to, from, kValues * sizeof(float)); }, nullptr);
    return buffers[kCalls % kBuffers];
  }

  Chain on_cuda(Arena& arena) {
    return {{arena.copy(buffers_[0]), arena.copy(buffers_[1]), arena.copy(buffers_[2])},
            arena.copy(stamps_),
            arena.copy(at_),
            kGpu};
  }

  std::vector<std::int64_t> stamps_, at_;
  std::vector<float> buffers_[kBuffers];
};

void copy_on(cudaStream_t queue, float* to, const float* from) {
  EXPECT_EQ(cudaMemcpyAsync(to, from, kValues * sizeof(float), cudaMemcpyDeviceToDevice, queue), cudaSuccess);
}

TEST_F(CudaAlignChain, EveryCallSeesTheOneBefore) {
  const std::vector<float> want = on_cpu();
  for (const bool legacy : {false, true}) {
    Arena arena(std::size_t{16} << 20);
    const Chain chain = on_cuda(arena);
    cudaStream_t queue = nullptr;
    if (!legacy) {
      ASSERT_EQ(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking), cudaSuccess);
    }
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    chain.run([queue](float* to, const float* from) { copy_on(queue, to, from); }, queue);
    ASSERT_EQ(cudaStreamSynchronize(queue), cudaSuccess);
    EXPECT_EQ(to_host(chain.buffers[kCalls % kBuffers], kValues), want) << (legacy ? "legacy stream" : "own stream");
    if (!legacy) cudaStreamDestroy(queue);
  }
}

TEST_F(CudaAlignChain, SoInAGraph) {
  const std::vector<float> want = on_cpu();
  Arena arena(std::size_t{16} << 20);
  const Chain chain = on_cuda(arena);
  cudaStream_t queue = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(queue, cudaStreamCaptureModeGlobal), cudaSuccess);
  chain.run([queue](float* to, const float* from) { copy_on(queue, to, from); }, queue);
  ASSERT_EQ(cudaStreamEndCapture(queue, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  float* const begin = arena.copy(buffers_[0]);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);  // the queue does not wait for copies on the legacy stream
  for (int replay = 0; replay < 20; ++replay) {
    copy_on(queue, chain.buffers[0], begin);
    ASSERT_EQ(cudaGraphLaunch(executable, queue), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(queue), cudaSuccess);
    ASSERT_EQ(to_host(chain.buffers[kCalls % kBuffers], kValues), want) << "replay " << replay;
  }
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(queue);
}

/// Clocks that the call before wrote: each is the line through the one before it at the same targets.
struct ClockChain {
  static constexpr int kSteps = 20;
  const float* slope;  ///< [B, R]
  const float* at;
  const float* values;
  float* clocks[kSteps + 1];
  float* rows[kSteps];
  Device device;

  void run(void* queue) const {
    const auto of = [this](const float* data, std::initializer_list<std::int64_t> shape) {
      return ConstTensor(data, DType::f32, shape, device);
    };
    for (int k = 0; k < kSteps; ++k) {
      Stream clock;
      clock.values = of(slope, {kBatch, kRows, 1});
      clock.stamps = of(clocks[k], {kBatch, kRows});
      resample(clock, of(at, {kBatch, kRows}), Tensor(clocks[k + 1], DType::f32, {kBatch, kRows, 1}, device),
               DataCheck::automatic, {.stream = queue});
      Stream stream;
      stream.values = of(values, {kBatch, kRows, kColumns});
      stream.stamps = of(clocks[k + 1], {kBatch, kRows});
      resample(stream, of(at, {kBatch, kRows}), Tensor(rows[k], DType::f32, {kBatch, kRows, kColumns}, device),
               DataCheck::automatic, {.stream = queue});
    }
  }
};

TEST_F(CudaAlignChain, EveryClockIsTheOneThatTheCallBeforeWrote) {
  constexpr std::size_t kStamps = kBatch * kRows;
  std::mt19937_64 random(12);
  std::vector<float> slope, at, clock;
  for (std::size_t i = 0; i < kStamps; ++i) {
    const auto s = static_cast<float>(i % kRows);
    slope.push_back(s + static_cast<float>(random() % 1000) / 1000.0F);
    at.push_back(s + static_cast<float>(random() % 1000) / 1000.0F);
    clock.push_back(s);
  }
  const std::vector<float> blank(kStamps, -1.0F);
  const std::vector<float> no_rows(kValues, -1.0F);
  std::vector<std::vector<float>> clocks(ClockChain::kSteps + 1, blank);
  std::vector<std::vector<float>> rows(ClockChain::kSteps, no_rows);
  clocks[0] = clock;
  Arena arena(std::size_t{64} << 20);
  ClockChain cpu{slope.data(), at.data(), buffers_[0].data(), {}, {}, {}};
  ClockChain gpu{arena.copy(slope), arena.copy(at), arena.copy(buffers_[0]), {}, {}, kGpu};
  for (int k = 0; k <= ClockChain::kSteps; ++k) {
    cpu.clocks[k] = clocks[static_cast<std::size_t>(k)].data();
    gpu.clocks[k] = arena.copy(k == 0 ? clock : blank);
  }
  for (int k = 0; k < ClockChain::kSteps; ++k) {
    cpu.rows[k] = rows[static_cast<std::size_t>(k)].data();
    gpu.rows[k] = arena.copy(no_rows);
  }
  cpu.run(nullptr);
  cudaStream_t queue = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  gpu.run(queue);
  ASSERT_EQ(cudaStreamSynchronize(queue), cudaSuccess);
  for (int k = 0; k < ClockChain::kSteps; ++k) {
    ASSERT_EQ(to_host(gpu.rows[k], kValues), rows[static_cast<std::size_t>(k)]) << "step " << k;
  }
  cudaStreamDestroy(queue);
}

}  // namespace
}  // namespace robocache
