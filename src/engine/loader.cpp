#include "robocache/loader.hpp"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "core/thread.hpp"
#include "core/thread_pool.hpp"
#include "robocache/error.hpp"

namespace robocache {

namespace {

constexpr Check kCheck{"Loader"};
constexpr int kMostPrefetch = 1 << 10;

Sampler sampler_of(const Windows& windows, SamplerOptions options) {
  options.counts = {windows.samples()};
  return Sampler(std::move(options));
}

}  // namespace

/// Threads make batches in turns, each a whole one; the queue keeps them in order.
class Loader::Engine {
 public:
  Engine(Windows windows, LoaderOptions options)
      : windows_(std::move(windows)),
        options_(std::move(options)),
        ahead_(sampler_of(windows_, options_.sampler)),
        given_(ahead_) {
    if (options_.prefetch < 0 || options_.prefetch > kMostPrefetch) {
      kCheck.fail("prefetch", std::to_string(options_.prefetch), "0 to " + std::to_string(kMostPrefetch));
    }
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { close(); }

  [[nodiscard]] const Windows& windows() const { return windows_; }
  [[nodiscard]] const LoaderOptions& options() const { return options_; }
  /// Threads do not come along into a fork, and locks stay as they were.
  [[nodiscard]] bool is_elsewhere() const { return getpid() != process_; }

  [[nodiscard]] std::int64_t samples() const { return given_.samples(); }
  [[nodiscard]] std::int64_t batches_left() {
    const auto turn = take_turn();
    return given_.batches_left();
  }
  [[nodiscard]] SamplerState state() {
    const auto turn = take_turn();
    return given_.state();
  }

  std::optional<Batch> next(std::optional<std::chrono::milliseconds> patience) {
    const auto turn = take_turn();
    if (closed_) kCheck.fail("loader", "closed", "open");
    if (options_.prefetch == 0) {
      const Sampler::Part part = given_.part();
      given_.advance();
      return make(part);
    }
    start();
    return take(patience);
  }

  void seek(SamplerState state) {
    const auto turn = take_turn();
    given_.seek(state);
    const std::lock_guard lock(mutex_);
    ahead_.seek(state);
    queue_.clear();  // Who still makes one of them keeps it, and drops it.
    room_.notify_all();
  }

  void close() noexcept {
    if (is_elsewhere()) return;
    const std::lock_guard turn(turns_);
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      queue_.clear();
    }
    room_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  struct Task {
    Sampler::Part part;
    bool done = false;
    Batch batch{};
    std::exception_ptr error{};
  };

  /// Calls of several threads come one after the other.
  [[nodiscard]] std::unique_lock<std::mutex> take_turn() {
    if (is_elsewhere()) {
      kCheck.unsupported("process", "a fork of the one that made the loader", "that one",
                         "make a loader in each process; it needs no workers");
    }
    return std::unique_lock(turns_);
  }

  void start() {
    const int threads = std::min(options_.prefetch, processor_count());
    threads_.reserve(static_cast<std::size_t>(threads));
    try {
      while (static_cast<int>(threads_.size()) < threads)
        threads_.push_back(start_thread([](void* engine) { static_cast<Engine*>(engine)->work(); }, this));
    } catch (const std::system_error& error) {
      if (threads_.empty()) throw OutOfMemory(std::string("Loader: no thread can be made: ") + error.what());
    }
  }

  std::optional<Batch> take(std::optional<std::chrono::milliseconds> patience) {
    std::unique_lock lock(mutex_);
    const auto is_made = [this] { return !queue_.empty() && queue_.front()->done; };
    if (!patience) {
      made_.wait(lock, is_made);
    } else if (!made_.wait_for(lock, *patience, is_made)) {
      return std::nullopt;
    }
    const std::shared_ptr<Task> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    room_.notify_one();
    given_.advance();
    if (task->error != nullptr) std::rethrow_exception(task->error);
    return std::move(task->batch);
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      const auto most = static_cast<std::size_t>(options_.prefetch);
      room_.wait(lock, [&] { return closed_ || queue_.size() < most; });
      if (closed_) return;
      const auto task = std::make_shared<Task>(Task{.part = ahead_.part()});
      ahead_.advance();
      queue_.push_back(task);
      lock.unlock();
      try {
        task->batch = make(task->part);
      } catch (...) {
        task->error = std::current_exception();
      }
      lock.lock();
      task->done = true;
      made_.notify_all();
    }
  }

  [[nodiscard]] Batch make(const Sampler::Part& part) const {
    std::vector<std::int64_t> samples(static_cast<std::size_t>(part.count));
    ahead_.read(part.epoch, part.first, samples);
    return read_batch(windows_, samples, options_.marks, {.threads = threads()});
  }

  /// Threads that make batches have one each.
  [[nodiscard]] int threads() const { return options_.prefetch > 1 ? 1 : 0; }

  const pid_t process_ = getpid();
  const Windows windows_;
  const LoaderOptions options_;
  std::mutex turns_;  ///< of callers, and of given_ and threads_
  std::mutex mutex_;  ///< of what stands behind it
  std::condition_variable made_, room_;
  Sampler ahead_;
  std::deque<std::shared_ptr<Task>> queue_;
  bool closed_ = false;  ///< written under both
  Sampler given_;
  std::vector<std::thread> threads_;
};

Loader::Loader(Windows windows, LoaderOptions options)
    : engine_(std::make_unique<Engine>(std::move(windows), std::move(options))) {}
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&& other) noexcept {
  Loader(std::move(other)).engine_.swap(engine_);
  return *this;
}
Loader::~Loader() {
  // NOLINTNEXTLINE(bugprone-unused-return-value): its threads are in another process, so nobody can wait for them
  if (engine_ != nullptr && engine_->is_elsewhere()) static_cast<void>(engine_.release());
}

const Windows& Loader::windows() const { return engine_->windows(); }
const LoaderOptions& Loader::options() const { return engine_->options(); }
// NOLINTNEXTLINE(bugprone-unchecked-optional-access): without a limit there always is one
Batch Loader::next() { return std::move(*engine_->next(std::nullopt)); }
std::optional<Batch> Loader::next(std::chrono::milliseconds patience) { return engine_->next(patience); }
std::int64_t Loader::samples() const { return engine_->samples(); }
std::int64_t Loader::batches_left() const { return engine_->batches_left(); }
SamplerState Loader::state() const { return engine_->state(); }
void Loader::seek(SamplerState state) { engine_->seek(state); }
void Loader::close() noexcept { engine_->close(); }

}  // namespace robocache
