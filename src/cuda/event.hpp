#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "cuda/device_guard.hpp"
#include "cuda/error.hpp"

namespace robocache::cuda {

/// A point in a stream that can be asked whether it is behind us.
class Event {
 public:
  /// Everything ordered on `stream` so far. Throws CudaError for a stream that is being captured: its work has no time.
  static Event on(cudaStream_t stream) {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    check("event", cudaStreamIsCapturing(stream, &capture));
    check("event", capture == cudaStreamCaptureStatusNone ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
    int device = 0;
    check("event", cudaStreamGetDevice(stream, &device));
    const DeviceGuard guard(device);
    Event event;
    check("event", cudaEventCreateWithFlags(&event.event_, cudaEventDisableTiming));
    check("event", cudaEventRecord(event.event_, stream));
    return event;
  }

  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_ != nullptr) static_cast<void>(cudaEventDestroy(event_));
  }

  [[nodiscard]] bool reached() const noexcept {
    if (cudaEventQuery(event_) == cudaSuccess) return true;
    static_cast<void>(cudaGetLastError());  // "not ready" must not look like an error to whoever asks next
    return false;
  }

 private:
  Event() = default;
  cudaEvent_t event_ = nullptr;
};

}  // namespace robocache::cuda
