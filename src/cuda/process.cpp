#include "cuda/process.hpp"

#include <pthread.h>

#include <atomic>

#include "robocache/error.hpp"

namespace robocache::cuda {

namespace {

std::atomic<bool> forked_after_use{false};

}  // namespace

void enter() {
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { forked_after_use.store(true, std::memory_order_relaxed); });
  if (forked()) throw CudaError(kForkedText);
}

bool forked() noexcept { return forked_after_use.load(std::memory_order_relaxed); }

}  // namespace robocache::cuda
