#include "cuda/fork.hpp"

#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

#include "cuda/error.hpp"
#include "cuda/per_device.hpp"

namespace robocache::cuda {

namespace {

class Lanes;

}  // namespace

/// A stream, and the events at both ends of what a fork has on it.
struct Lane {
  Lanes* home = nullptr;
  cudaStream_t stream = nullptr;
  cudaEvent_t begun = nullptr, done = nullptr;

  explicit Lane(Lanes* of) : home(of) {}
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane() {
    for (cudaEvent_t event : {begun, done}) {
      if (event != nullptr) static_cast<void>(cudaEventDestroy(event));
    }
    if (stream != nullptr) static_cast<void>(cudaStreamDestroy(stream));
  }
};

namespace {

/// Those of a device that nobody has. One is used again only behind kSpare others: its stream may be waiting for that of
/// the call that had it before.
class Lanes {
 public:
  explicit Lanes(int) {}

  std::unique_ptr<Lane> take(const char* op) {
    {
      const std::lock_guard lock(mutex_);
      if (free_.size() > kSpare) {
        std::unique_ptr<Lane> lane = std::move(free_.front());
        free_.pop_front();
        return lane;
      }
    }
    return made(op);
  }

  void give(std::unique_ptr<Lane> lane) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      free_.push_back(std::move(lane));
    } catch (...) {
      // There is no memory to keep it.
    }
  }

 private:
  std::unique_ptr<Lane> made(const char* op) {
    auto lane = std::make_unique<Lane>(this);
    // Another thread may capture a graph, which a lane is no part of.
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    check(op, cudaThreadExchangeStreamCaptureMode(&mode));
    cudaError_t status = cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking);
    for (cudaEvent_t* event : {&lane->begun, &lane->done}) {
      if (status == cudaSuccess) status = cudaEventCreateWithFlags(event, cudaEventDisableTiming);
    }
    check(op, cudaThreadExchangeStreamCaptureMode(&mode));
    check(op, status);
    return lane;
  }

  static constexpr std::size_t kSpare = 3;
  std::mutex mutex_;
  std::deque<std::unique_ptr<Lane>> free_;
};

Lanes& lanes(int device) {
  static PerDevice<Lanes> all;
  return all[device];
}

}  // namespace

Fork::Fork(const char* op, void* stream) : op_(op), stream_(static_cast<cudaStream_t>(stream)) {
  if (read(before_)) return;
  int device = 0;
  check(op_, cudaGetDevice(&device));
  lane_ = lanes(device).take(op_);
  check(op_, cudaEventRecord(lane_->begun, stream_));
  check(op_, cudaStreamWaitEvent(lane_->stream, lane_->begun, 0));
}

Fork::~Fork() {
  if (end() != cudaSuccess) static_cast<void>(cudaGetLastError());
}

void* Fork::second() {
  if (lane_ == nullptr) {
    static_cast<void>(read(first_));
    check(op_, depend(before_, cudaStreamSetCaptureDependencies));
  }
  branch_ = Branch::second;
  return lane_ != nullptr ? lane_->stream : stream_;
}

void Fork::join() { check(op_, end()); }

/// Whether the stream is captured.
bool Fork::read(Dependencies& to) const {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  const cudaGraphNode_t* nodes = nullptr;
  const cudaGraphEdgeData* edges = nullptr;
  std::size_t count = 0;
  check(op_, cudaStreamGetCaptureInfo(stream_, &capture, nullptr, nullptr, &nodes, &edges, &count));
  if (capture == cudaStreamCaptureStatusNone) return false;
  check(op_, capture == cudaStreamCaptureStatusActive ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
  to.nodes.assign(nodes, nodes + count);
  to.edges.assign(count, cudaGraphEdgeData{});
  if (edges != nullptr) to.edges.assign(edges, edges + count);
  return true;
}

cudaError_t Fork::depend(Dependencies& on, unsigned flags) const noexcept {
  return cudaStreamUpdateCaptureDependencies(stream_, on.nodes.data(), on.edges.data(), on.nodes.size(), flags);
}

cudaError_t Fork::end() noexcept {
  const Branch ended = std::exchange(branch_, Branch::joined);
  cudaError_t status = cudaSuccess;
  if (ended == Branch::second && lane_ == nullptr) status = depend(first_, cudaStreamAddCaptureDependencies);
  if (lane_ == nullptr) return status;
  if (ended == Branch::second) {
    status = cudaEventRecord(lane_->done, lane_->stream);
    if (status == cudaSuccess) status = cudaStreamWaitEvent(stream_, lane_->done, 0);
    // Memory that the branch uses may be given back next: nobody else waits for it then.
    if (status != cudaSuccess) static_cast<void>(cudaStreamSynchronize(lane_->stream));
  }
  if (status == cudaSuccess) lane_->home->give(std::move(lane_));
  return status;
}

}  // namespace robocache::cuda
