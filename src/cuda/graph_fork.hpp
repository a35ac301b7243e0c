#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

namespace robocache::cuda {

/// Whether what is launched on a stream becomes a graph. Throws CudaError, also for a capture that is broken.
[[nodiscard]] bool is_captured(const char* op, void* stream);

/// Two branches of what a call launches on a stream that is captured: both wait for what was there before, neither for
/// the other, and what follows join() waits for both. The first is launched before second(), the other one after it. They
/// are edges of the graph alone: the call needs no other stream, so none waits for a stream that is not the caller's.
/// What begins a branch and what follows join() is launched with Start::in_order: an early kernel waits for one other
/// alone. A fork that an exception leaves joins, too.
class GraphFork {
 public:
  /// Throws CudaError, as the others do.
  GraphFork(const char* op, void* stream);
  GraphFork(const GraphFork&) = delete;
  GraphFork& operator=(const GraphFork&) = delete;
  ~GraphFork();

  void second();
  void join();

 private:
  /// What the next node depends on.
  struct Dependencies {
    std::vector<cudaGraphNode_t> nodes;
    std::vector<cudaGraphEdgeData> edges;
  };
  enum class Branch : std::uint8_t { first, second, joined };

  [[nodiscard]] Dependencies read() const;
  [[nodiscard]] cudaError_t depend(Dependencies& on, unsigned flags) const noexcept;
  [[nodiscard]] cudaError_t end() noexcept;

  const char* op_;
  cudaStream_t stream_;
  Branch branch_ = Branch::first;
  Dependencies before_, first_;
};

}  // namespace robocache::cuda
