#include "cuda/fork.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/error.hpp"
#include "cuda_test.hpp"

namespace robocache::cuda {
namespace {

constexpr const char* kOp = "fork";

class ForkCuda : public cuda_testing::CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking}) {
      cudaStream_t made = nullptr;
      check(kOp, cudaStreamCreateWithFlags(&made, flags));
      made_.push_back(made);
    }
  }
  void TearDown() override {
    for (cudaStream_t stream : made_) EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  }

  [[nodiscard]] std::vector<cudaStream_t> streams() const {
    return {nullptr, cudaStreamLegacy, cudaStreamPerThread, made_[0], made_[1]};
  }
  [[nodiscard]] cudaStream_t own() const { return made_[1]; }

 private:
  std::vector<cudaStream_t> made_;
};

/// Bytes that each step of a call takes from the one before.
class Steps {
 public:
  Steps() { check(kOp, cudaMalloc(&memory_, kBytes)); }
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;
  ~Steps() { cudaFree(memory_); }

  void set(int at, int value, void* stream) {
    check(kOp, cudaMemsetAsync(bytes() + at, value, 1, static_cast<cudaStream_t>(stream)));
  }
  void copy(int to, int from, void* stream) {
    check(kOp, cudaMemcpyAsync(bytes() + to, bytes() + from, 1, cudaMemcpyDeviceToDevice,
                               static_cast<cudaStream_t>(stream)));
  }
  static void sleep(void* stream) {
    const auto wait = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
    check(kOp, cudaLaunchHostFunc(static_cast<cudaStream_t>(stream), wait, nullptr));
  }
  [[nodiscard]] std::vector<std::uint8_t> values(void* stream) const {
    check(kOp, cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
    return cuda_testing::to_host(bytes(), kBytes);
  }

 private:
  static constexpr std::size_t kBytes = 5;
  [[nodiscard]] std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(memory_); }
  void* memory_ = nullptr;
};

/// What a test sees of a wait that is missing: each step takes a while, and the next one copies what it leaves. Memory
/// has numbers from an earlier call.
void expect_order(Steps& steps, void* stream, int seed, const std::function<void(Fork&)>& finish) {
  Steps::sleep(stream);
  steps.set(0, seed, stream);
  {
    Fork fork(kOp, stream);
    Steps::sleep(stream);
    steps.copy(1, 0, stream);
    void* const second = fork.second();
    Steps::sleep(second);
    steps.copy(2, 0, second);
    finish(fork);
  }
  steps.copy(3, 1, stream);
  steps.copy(4, 2, stream);
  EXPECT_EQ(steps.values(stream), std::vector<std::uint8_t>(5, static_cast<std::uint8_t>(seed)));
}

TEST_F(ForkCuda, BothBranchesWaitForWhatWasBeforeAndAreWaitedFor) {
  Steps steps;
  int seed = 0;
  for (cudaStream_t stream : streams()) {
    for (int again = 0; again < 3; ++again) expect_order(steps, stream, ++seed, [](Fork& fork) { fork.join(); });
  }
}

TEST_F(ForkCuda, AnExceptionJoins) {
  Steps steps;
  const auto leave = [](Fork&) {};
  for (int seed = 1; seed < 7; ++seed) expect_order(steps, own(), seed, leave);
  try {
    const Fork fork(kOp, own());
    steps.set(0, 9, own());
    throw std::runtime_error("before the second branch");
  } catch (const std::runtime_error&) {
    EXPECT_EQ(steps.values(own())[0], 9);
  }
}

TEST_F(ForkCuda, ThreadsForkAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t] {
      cudaStream_t stream = nullptr;
      check(kOp, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      Steps steps;
      for (int i = 1; i < 7; ++i) expect_order(steps, stream, 8 * i + t, [](Fork& fork) { fork.join(); });
      EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// Nodes of a graph, and edges.
std::pair<std::size_t, std::size_t> counts(cudaGraph_t graph) {
  std::size_t nodes = 0;
  std::size_t edges = 0;
  check(kOp, cudaGraphGetNodes(graph, nullptr, &nodes));
  check(kOp, cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  return {nodes, edges};
}

cudaGraph_t captured(cudaStream_t stream, const std::function<void()>& call) {
  cudaGraph_t graph = nullptr;
  check(kOp, cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  call();
  check(kOp, cudaStreamEndCapture(stream, &graph));
  return graph;
}

TEST_F(ForkCuda, ACaptureHasTheBranchesAsEdges) {
  Steps steps;
  steps.set(0, 7, own());
  for (const bool joins : {true, false}) {
    for (const bool begins : {true, false}) {
      cudaGraph_t graph = captured(own(), [&] {
        if (!begins) steps.set(0, 7, own());
        {
          Fork fork(kOp, own());
          steps.copy(1, 0, own());
          EXPECT_EQ(fork.second(), static_cast<void*>(own()));
          steps.set(2, 6, own());
          steps.copy(3, 2, own());
          if (joins) fork.join();
        }
        steps.copy(4, 1, own());
      });
      EXPECT_EQ(counts(graph),
                begins ? std::pair(std::size_t{4}, std::size_t{3}) : std::pair(std::size_t{5}, std::size_t{5}));
      cudaGraphExec_t executable = nullptr;
      check(kOp, cudaGraphInstantiate(&executable, graph, 0));
      for (int at = 1; at < 5; ++at) steps.set(at, 0, own());
      check(kOp, cudaGraphLaunch(executable, own()));
      EXPECT_EQ(steps.values(own()), (std::vector<std::uint8_t>{7, 7, 6, 6, 7}));
      check(kOp, cudaGraphExecDestroy(executable));
      check(kOp, cudaGraphDestroy(graph));
    }
  }
}

/// A lane is made here while this thread captures on another stream: no lane is part of a capture.
TEST_F(ForkCuda, LanesAreNoPartOfACapture) {
  Steps steps;
  cudaStream_t other = nullptr;
  check(kOp, cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  cudaGraph_t graph = captured(other, [&] {
    std::vector<std::unique_ptr<Fork>> forks;
    for (int i = 0; i < 8; ++i) forks.push_back(std::make_unique<Fork>(kOp, own()));
    for (auto& fork : forks) steps.set(0, 3, fork->second());
    for (auto& fork : forks) fork->join();
    steps.set(1, 4, other);
  });
  EXPECT_EQ(counts(graph), (std::pair<std::size_t, std::size_t>(1, 0)));
  EXPECT_EQ(steps.values(own())[0], 3);
  check(kOp, cudaGraphDestroy(graph));
  check(kOp, cudaStreamDestroy(other));
}

}  // namespace
}  // namespace robocache::cuda
