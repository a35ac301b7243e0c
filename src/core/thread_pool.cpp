#include "core/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/thread.hpp"

namespace robocache {

namespace {

// Waking a sleeping thread costs tens of microseconds, a good part of a small call: threads look for the next call this
// long before they sleep.
constexpr std::chrono::microseconds kSpin{50};

void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until `done()`: spins for kSpin, then sleeps on `word`, which changes whenever `done()` may have become true.
template <class Done>
void wait_until(const std::atomic<std::uint32_t>& word, const Done& done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return;
      relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  for (std::uint32_t seen = word.load(); !done(); seen = word.load()) word.wait(seen);
}

/// One parallel_for in progress, on its caller's stack.
class Job {
 public:
  Job(std::int64_t n, std::int64_t grain, RangeFunction body) : n_(n), grain_(grain), body_(body) {}

  [[nodiscard]] std::int64_t ranges() const { return n_ / grain_ + (n_ % grain_ != 0); }
  [[nodiscard]] bool exhausted() const { return next_.load(std::memory_order_relaxed) >= ranges(); }

  /// Runs one range; false when none is left.
  bool run_one() noexcept {
    const std::int64_t range = next_.fetch_add(1, std::memory_order_relaxed);
    if (range >= ranges()) return false;
    const std::int64_t begin = range * grain_;
    try {
      body_(begin, begin + std::min(grain_, n_ - begin));
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
      next_.store(ranges(), std::memory_order_relaxed);
    }
    return true;
  }

  /// After the last range of every thread has ended.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

  int wanted = 0;               ///< helpers at most
  std::atomic<int> helpers{0};  ///< threads inside, besides the caller; raised under the pool's lock

 private:
  std::int64_t n_;
  std::int64_t grain_;
  RangeFunction body_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

/// Threads that help with the open jobs. Never destroyed: they may sleep in it until the process ends.
class Pool {
 public:
  static Pool& instance();

  void run(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      start_threads();
      open_.push_back(&job);
      open_count_.store(open_.size(), std::memory_order_relaxed);
      opened_.fetch_add(1);
    }
    wake(job);
    while (job.run_one()) {
    }
    {
      const std::lock_guard lock(mutex_);
      std::erase(open_, &job);
      open_count_.store(open_.size(), std::memory_order_relaxed);
    }
    wait_until(left_, [&] { return job.helpers.load() == 0; });
  }

  [[nodiscard]] int size() const { return size_; }

 private:
  void start_threads() {
    if (started_) return;
    started_ = true;
    try {
      for (int i = 1; i < size_; ++i) start_thread([](void* pool) { static_cast<Pool*>(pool)->work(); }, this).detach();
    } catch (const std::system_error&) {
      // Fewer threads: the callers do the rest.
    }
  }

  [[noreturn]] void work() {
    for (;;) {
      const std::uint32_t seen = opened_.load();
      if (Job* job = join()) {
        help(*job);
      } else {
        wait_until(opened_, [&] { return opened_.load() != seen; });
      }
    }
  }

  /// Wakes up to two threads that sleep; each wakes two more. A system call only where one does sleep.
  void wake(const Job& job) noexcept {
    for (int i = 0; i < 2 && job.helpers.load(std::memory_order_relaxed) + i < job.wanted; ++i) opened_.notify_one();
  }

  /// Enters the open job with the fewest helpers; of several the one that waited longest for a thread.
  Job* join() {
    const std::lock_guard lock(mutex_);
    auto best = open_.end();
    for (auto job = open_.begin(); job != open_.end(); ++job) {
      const int helpers = (*job)->helpers.load(std::memory_order_relaxed);
      if (helpers >= (*job)->wanted || (*job)->exhausted()) continue;
      if (best == open_.end() || helpers < (*best)->helpers.load(std::memory_order_relaxed)) best = job;
    }
    if (best == open_.end()) return nullptr;
    Job* const job = *best;
    std::rotate(best, best + 1, open_.end());
    job->helpers.fetch_add(1);
    return job;
  }

  void help(Job& job) noexcept {
    if (!job.exhausted()) wake(job);
    // With several calls open, a thread chooses anew after each range, so that a long call cannot keep it.
    while (job.run_one() && open_count_.load(std::memory_order_relaxed) == 1) {
    }
    job.helpers.fetch_sub(1);  // From here on the job may be gone; left_ is not.
    left_.fetch_add(1);
    left_.notify_all();
  }

  const int size_ = processor_count();
  std::mutex mutex_;
  bool started_ = false;
  std::vector<Job*> open_;
  std::atomic<std::size_t> open_count_{0};
  std::atomic<std::uint32_t> opened_{0};  ///< changes with every new job
  std::atomic<std::uint32_t> left_{0};    ///< changes whenever a thread leaves a job
};

std::atomic<Pool*> current_pool{nullptr};

Pool& Pool::instance() {
  // A child has none of the parent's threads, and the parent's locks may be held: it starts over.
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { current_pool.store(nullptr, std::memory_order_relaxed); });
  Pool* pool = current_pool.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  auto made = std::make_unique<Pool>();
  return current_pool.compare_exchange_strong(pool, made.get(), std::memory_order_acq_rel) ? *made.release() : *pool;
}

}  // namespace

void parallel_for(std::int64_t n, std::int64_t grain, int threads, RangeFunction body) {
  if (n <= 0) return;
  Job job(n, std::max<std::int64_t>(grain, 1), body);
  if (threads == 1 || job.ranges() == 1) return body(0, n);
  Pool& pool = Pool::instance();
  const std::int64_t most =
      std::min<std::int64_t>(job.ranges(), threads > 0 ? std::min(threads, pool.size()) : pool.size());
  if (most == 1) return body(0, n);
  job.wanted = static_cast<int>(most) - 1;
  pool.run(job);
  job.rethrow();
}

int processor_count() noexcept {
  cpu_set_t set;
  // Fails where the machine has more processors than a cpu_set_t holds.
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
}

}  // namespace robocache
