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

constexpr std::uint32_t kSlots = 4096;

/// What kernels write: pinned memory that the device sees under the same address.
struct Mailbox {
  std::uint64_t words[kSlots];
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

  FaultSink open(const char* op, std::string names) {
    std::uint32_t ticket = next_.fetch_add(1, std::memory_order_relaxed);
    if (ticket == 0) ticket = next_.fetch_add(1, std::memory_order_relaxed);  // 0 means "no report"
    const std::uint32_t slot = ticket % kSlots;
    {
      const std::lock_guard lock(mutex_);
      calls_[slot] = {op, std::move(names)};
    }
    take(mailbox_->words[slot]);
    return {&mailbox_->words[slot], &mailbox_->flag, ticket};
  }

  /// Throws when `ticket` holds a report; `suffix` goes behind its text.
  void raise(std::uint32_t ticket, std::string_view suffix) {
    const std::uint32_t slot = ticket % kSlots;
    std::uint32_t expected = ticket;
    std::atomic_ref(mailbox_->flag).compare_exchange_strong(expected, 0, std::memory_order_acquire);
    const std::uint64_t word = take(mailbox_->words[slot]);
    if (word == 0) return;
    const Fault fault = Fault::decode(word);
    const std::lock_guard lock(mutex_);
    const auto& [op, names] = calls_[slot];
    throw InvalidArgument(describe(op, fault, line(names, fault.stream)).append(suffix));
  }

  [[nodiscard]] std::uint32_t reported() const {
    return std::atomic_ref(mailbox_->flag).load(std::memory_order_acquire);
  }

 private:
  Mailbox* mailbox_ = allocate_mailbox();
  std::atomic<std::uint32_t> next_{1};
  std::mutex mutex_;
  struct {
    const char* op;     ///< a string literal
    std::string names;  ///< of the streams, one a line
  } calls_[kSlots] = {};
};

Reports& reports(int device) {
  static PerDevice<Reports> all;
  return all[device];
}

}  // namespace

FaultSink open_sink(int device, const char* op, std::string names) {
  return reports(device).open(op, std::move(names));
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
