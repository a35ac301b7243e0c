#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace robocache::cuda {

struct Lane;

/// Two branches of what a call launches: both wait for what was on its stream, neither for the other, and what follows
/// join() waits for both. The first is launched on that stream before second(), the other one on the stream that second()
/// returns: one of a pool. Where the call is captured, that is its own stream, and the branches are edges of the graph
/// alone: another stream would be part of the capture until it ends, longer than the call.
/// What begins a branch and what follows join() is launched with Start::in_order: an early kernel waits for one other
/// alone. A fork that an exception leaves joins, too.
class Fork {
 public:
  /// `stream` is one of the current device. Throws CudaError, as the others do.
  Fork(const char* op, void* stream);
  Fork(const Fork&) = delete;
  Fork& operator=(const Fork&) = delete;
  ~Fork();

  [[nodiscard]] void* second();
  void join();

 private:
  /// What the next node of a capture depends on.
  struct Dependencies {
    std::vector<cudaGraphNode_t> nodes;
    std::vector<cudaGraphEdgeData> edges;
  };
  enum class Branch : std::uint8_t { first, second, joined };

  [[nodiscard]] bool read(Dependencies& to) const;
  [[nodiscard]] cudaError_t depend(Dependencies& on, unsigned flags) const noexcept;
  [[nodiscard]] cudaError_t end() noexcept;

  const char* op_;
  cudaStream_t stream_;
  Branch branch_ = Branch::first;
  std::unique_ptr<Lane> lane_;  ///< of the second branch; null where the stream is captured
  Dependencies before_, first_;
};

}  // namespace robocache::cuda
