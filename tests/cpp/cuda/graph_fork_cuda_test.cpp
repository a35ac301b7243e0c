#include "cuda/graph_fork.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cuda/error.hpp"
#include "cuda_test.hpp"

namespace robocache::cuda {
namespace {

constexpr const char* kOp = "fork";

class GraphForkCuda : public cuda_testing::CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    check(kOp, cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  void TearDown() override {
    if (stream_ != nullptr) {
      EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    }
  }

  cudaStream_t stream_ = nullptr;
};

/// Bytes that each step of a call takes from the one before.
class Steps {
 public:
  explicit Steps(cudaStream_t stream) : stream_(stream) { check(kOp, cudaMalloc(&memory_, kBytes)); }
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;
  ~Steps() { cudaFree(memory_); }

  void set(int at, int value) { check(kOp, cudaMemsetAsync(bytes() + at, value, 1, stream_)); }
  void copy(int to, int from) {
    check(kOp, cudaMemcpyAsync(bytes() + to, bytes() + from, 1, cudaMemcpyDeviceToDevice, stream_));
  }
  [[nodiscard]] std::vector<std::uint8_t> values() const {
    check(kOp, cudaStreamSynchronize(stream_));
    return cuda_testing::to_host(bytes(), kBytes);
  }

 private:
  static constexpr std::size_t kBytes = 5;
  [[nodiscard]] std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(memory_); }
  cudaStream_t stream_;
  void* memory_ = nullptr;
};

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
  EXPECT_TRUE(is_captured(kOp, stream));
  call();
  check(kOp, cudaStreamEndCapture(stream, &graph));
  return graph;
}

TEST_F(GraphForkCuda, TheBranchesAreEdges) {
  Steps steps(stream_);
  EXPECT_FALSE(is_captured(kOp, stream_));
  steps.set(0, 7);
  for (const bool joins : {true, false}) {
    for (const bool begins : {true, false}) {
      cudaGraph_t graph = captured(stream_, [&] {
        if (!begins) steps.set(0, 7);
        {
          GraphFork fork(kOp, stream_);
          steps.copy(1, 0);
          fork.second();
          steps.set(2, 6);
          steps.copy(3, 2);
          if (joins) fork.join();
        }
        steps.copy(4, 1);
      });
      EXPECT_EQ(counts(graph),
                begins ? std::pair(std::size_t{4}, std::size_t{3}) : std::pair(std::size_t{5}, std::size_t{5}));
      cudaGraphExec_t executable = nullptr;
      check(kOp, cudaGraphInstantiate(&executable, graph, 0));
      for (int at = 1; at < 5; ++at) steps.set(at, 0);
      check(kOp, cudaGraphLaunch(executable, stream_));
      EXPECT_EQ(steps.values(), (std::vector<std::uint8_t>{7, 7, 6, 6, 7}));
      check(kOp, cudaGraphExecDestroy(executable));
      check(kOp, cudaGraphDestroy(graph));
    }
  }
}

TEST_F(GraphForkCuda, AnExceptionJoins) {
  Steps steps(stream_);
  cudaGraph_t graph = captured(stream_, [&] {
    try {
      GraphFork fork(kOp, stream_);
      steps.set(1, 5);
      fork.second();
      steps.set(2, 6);
      throw std::runtime_error("in the second branch");
    } catch (const std::runtime_error&) {
      steps.copy(3, 1);
    }
  });
  EXPECT_EQ(counts(graph), (std::pair<std::size_t, std::size_t>(3, 2)));
  check(kOp, cudaGraphDestroy(graph));
}

}  // namespace
}  // namespace robocache::cuda
