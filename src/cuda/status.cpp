#include "cuda/status.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "cuda/device_guard.hpp"
#include "cuda/error.hpp"
#include "cuda/per_device.hpp"
#include "robocache/error.hpp"

namespace robocache::cuda {

namespace {

constexpr std::uint32_t kSlots = 4096;     // a power of two
constexpr std::uint32_t kCaptured = 4096;  // calls in graphs that are told apart; later ones share the last report
constexpr std::uint32_t kCapturedBit = 1u << 31;  // in tickets

std::uint32_t slot_of(std::uint32_t ticket) {
  return (ticket & kCapturedBit) != 0 ? kSlots + (ticket & ~kCapturedBit) : ticket % kSlots;
}

bool capturing(void* stream) {
  if (stream == nullptr) return false;  // the legacy stream cannot be captured, and asking breaks others' captures
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check("status", cudaStreamIsCapturing(static_cast<cudaStream_t>(stream), &status));
  return status != cudaStreamCaptureStatusNone;
}

/// What kernels write: pinned memory that the device sees under the same address.
struct Mailbox {
  std::uint64_t words[kSlots + kCaptured];
  std::uint32_t flag;  ///< ticket of the last call that reported; 0: none
};

/// Host and device both touch a mailbox: every access on the host is one atomic load or store.
std::uint64_t take(std::uint64_t& word) { return std::atomic_ref(word).exchange(0, std::memory_order_acquire); }

Mailbox* allocate_mailbox() {
  // Another thread may be capturing a graph just now; in relaxed mode this allocation does not break its capture.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  check("status", cudaThreadExchangeStreamCaptureMode(&mode));
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, sizeof(Mailbox), cudaHostAllocMapped | cudaHostAllocPortable);
  check("status", cudaThreadExchangeStreamCaptureMode(&mode));
  check("status", status);
  return new (memory) Mailbox{};
}

std::string_view line(std::string_view text, std::uint32_t number) {
  for (; number > 0 && !text.empty(); --number) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  return text.substr(0, text.find('\n'));
}

class Reports {
 public:
  explicit Reports(int) {}

  FaultSink open(void* stream, const char* op, std::string subjects) {
    const std::uint32_t ticket = capturing(stream) ? next_captured() : next();
    const std::uint32_t slot = slot_of(ticket);
    {
      const std::lock_guard lock(mutex_);
      calls_[slot] = {op, std::move(subjects)};
    }
    take(mailbox_->words[slot]);
    return {&mailbox_->words[slot], &mailbox_->flag, ticket};
  }

  /// Throws when `ticket` holds a report; `suffix` goes behind its text.
  void raise(std::uint32_t ticket, std::string_view suffix) {
    const std::uint32_t slot = slot_of(ticket);
    std::uint32_t expected = ticket;
    std::atomic_ref(mailbox_->flag).compare_exchange_strong(expected, 0, std::memory_order_acquire);
    const std::uint64_t word = take(mailbox_->words[slot]);
    if (word == 0) return;
    const Fault fault = Fault::decode(word);
    const std::lock_guard lock(mutex_);
    const auto& [op, subjects] = calls_[slot];
    throw InvalidArgument(describe(op, fault, line(subjects, fault.stream)).append(suffix));
  }

  [[nodiscard]] std::uint32_t reported() const {
    return std::atomic_ref(mailbox_->flag).load(std::memory_order_acquire);
  }

 private:
  /// Neither 0, which means "no report", nor with kCapturedBit.
  std::uint32_t next() {
    const std::uint32_t ticket = next_.fetch_add(1, std::memory_order_relaxed) & ~kCapturedBit;
    return ticket != 0 ? ticket : kSlots;
  }
  std::uint32_t next_captured() {
    return kCapturedBit | std::min(captured_.fetch_add(1, std::memory_order_relaxed), kCaptured - 1);
  }

  Mailbox* mailbox_ = allocate_mailbox();
  std::atomic<std::uint32_t> next_{1};
  std::atomic<std::uint32_t> captured_{0};
  std::mutex mutex_;
  struct {
    const char* op;        ///< a string literal
    std::string subjects;  ///< one a line
  } calls_[kSlots + kCaptured] = {};
};

Reports& reports(int device) {
  static PerDevice<Reports> all;
  return all[device];
}

}  // namespace

FaultSink open_sink(int device, void* stream, const char* op, std::string subjects) {
  return reports(device).open(stream, op, std::move(subjects));
}

Pending pending(int device, void* stream, const FaultSink& sink) {
  const auto raise = [](Device where, void* on, std::uint32_t ticket) {
    const DeviceGuard guard(where.index);
    check("check", cudaStreamSynchronize(static_cast<cudaStream_t>(on)));
    reports(where.index).raise(ticket, {});
  };
  return {raise, Device{DeviceKind::cuda, device}, stream, sink.ticket};
}

void raise_earlier(int device) {
  Reports& all = reports(device);
  if (const std::uint32_t ticket = all.reported(); ticket != 0) all.raise(ticket, "; reported by an earlier call");
}

}  // namespace robocache::cuda
