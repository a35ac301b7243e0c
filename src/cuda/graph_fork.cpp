#include "cuda/graph_fork.hpp"

#include <cstddef>
#include <utility>

#include "cuda/error.hpp"

namespace robocache::cuda {

bool is_captured(const char* op, void* stream) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check(op, cudaStreamIsCapturing(static_cast<cudaStream_t>(stream), &capture));
  check(op, capture == cudaStreamCaptureStatusInvalidated ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
  return capture == cudaStreamCaptureStatusActive;
}

GraphFork::GraphFork(const char* op, void* stream)
    : op_(op), stream_(static_cast<cudaStream_t>(stream)), before_(read()) {}

GraphFork::~GraphFork() {
  if (end() != cudaSuccess) static_cast<void>(cudaGetLastError());
}

void GraphFork::second() {
  first_ = read();
  check(op_, depend(before_, cudaStreamSetCaptureDependencies));
  branch_ = Branch::second;
}

void GraphFork::join() { check(op_, end()); }

GraphFork::Dependencies GraphFork::read() const {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  const cudaGraphNode_t* nodes = nullptr;
  const cudaGraphEdgeData* edges = nullptr;
  std::size_t count = 0;
  check(op_, cudaStreamGetCaptureInfo(stream_, &capture, nullptr, nullptr, &nodes, &edges, &count));
  check(op_, capture == cudaStreamCaptureStatusActive ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
  Dependencies found{{nodes, nodes + count}, std::vector<cudaGraphEdgeData>(count)};
  if (edges != nullptr) found.edges.assign(edges, edges + count);
  return found;
}

cudaError_t GraphFork::depend(Dependencies& on, unsigned flags) const noexcept {
  return cudaStreamUpdateCaptureDependencies(stream_, on.nodes.data(), on.edges.data(), on.nodes.size(), flags);
}

cudaError_t GraphFork::end() noexcept {
  if (std::exchange(branch_, Branch::joined) != Branch::second) return cudaSuccess;
  return depend(first_, cudaStreamAddCaptureDependencies);
}

}  // namespace robocache::cuda
