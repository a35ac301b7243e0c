#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <robocache/batch.hpp>
#include <robocache/sampler.hpp>
#include <robocache/windows.hpp>

namespace robocache {

struct LoaderOptions {
  SamplerOptions sampler = {};  ///< its counts are the loader's to say
  int prefetch = 2;             ///< batches that are made ahead, each by a thread of its own; 0: made when asked for
  BatchMarks marks = {};
};

/// Batches of windows in a sampler's order, made ahead by threads of this process.
///
/// Safe from several threads: their calls come one after the other. In a process forked from the one that made it, it
/// cannot be used: all calls throw Unsupported.
class Loader {
 public:
  /// Throws InvalidArgument.
  Loader(Windows windows, LoaderOptions options);
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;
  /// Waits for the batches that are being made.
  ~Loader();

  [[nodiscard]] const Windows& windows() const;
  [[nodiscard]] const LoaderOptions& options() const;

  /// The next batch. There always is one: the first of an epoch comes after the last of the one before. What went wrong in
  /// making it is thrown here, and the batch counts as given. Throws InvalidArgument when closed, Unsupported in a fork.
  [[nodiscard]] Batch next();
  /// The same, or nothing where it takes longer than that.
  [[nodiscard]] std::optional<Batch> next(std::chrono::milliseconds patience);

  /// Samples of an epoch, of all ranks.
  [[nodiscard]] std::int64_t samples() const;
  /// Batches of this epoch that next() has not given yet.
  [[nodiscard]] std::int64_t batches_left() const;
  /// Behind the last batch that next() gave: what was made ahead does not count.
  [[nodiscard]] SamplerState state() const;
  /// Goes on from there; what was made ahead is thrown away. Throws InvalidArgument.
  void seek(SamplerState state);

  /// Ends the threads. Again: nothing.
  void close() noexcept;

 private:
  class Engine;
  std::unique_ptr<Engine> engine_;
};

}  // namespace robocache
