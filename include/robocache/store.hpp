#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <robocache/tensor.hpp>

namespace robocache {

/// What the samples of a stream are.
struct StoreStream {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape = {};  ///< of one sample; D is its product
  double rate_hz = 0;                    ///< one that the dataset claims; 0: none
};

/// A stream in one episode. S samples, which may be none.
///   values     [S, D]   the stream's dtype; columns contiguous, rows of any pitch
///   stamps_ns  [S]      i64, non-decreasing
struct EpisodeStream {
  ConstTensor values;
  ConstTensor stamps_ns;
};

/// Bytes that a store holds in each kind of memory.
struct StoreMemory {
  std::size_t host = 0, pinned = 0, device = 0;
};

/// The low-dimensional streams of a dataset, whole and ready to be read from: each a column of the samples of all
/// episodes, one behind the other. Immutable; safe to read from several threads. E episodes, N samples of a stream, D
/// columns.
class Store {
 public:
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// When the samples of one stream or more were taken.
  ///   stamps_ns  [N]      i64
  ///   offsets    [E + 1]  i64   samples of episode e are offsets[e] to offsets[e + 1] - 1
  struct Clock {
    ConstTensor stamps_ns;
    ConstTensor offsets;
    /// In each episode sample i is at first + round(i / rate) to 1 ns, and no stream of the clock claims another rate.
    /// 0: not so, or no rate claimed.
    double rate_hz = 0;
  };
  struct Column {
    StoreStream stream;
    ConstTensor values;      ///< [N, D], contiguous
    std::int64_t clock = 0;  ///< its place in clocks()
  };

  [[nodiscard]] std::int64_t episodes() const { return static_cast<std::int64_t>(episode_index_.size()); }
  /// The dataset's own number of each episode.
  [[nodiscard]] std::span<const std::int64_t> episode_index() const { return episode_index_; }
  [[nodiscard]] std::span<const Column> columns() const { return columns_; }
  /// Streams whose stamps are alike in every episode share a clock.
  [[nodiscard]] std::span<const Clock> clocks() const { return clocks_; }
  /// Of columns, clocks and episode_index.
  [[nodiscard]] StoreMemory memory() const { return memory_; }
  [[nodiscard]] Device device() const { return {}; }

 private:
  friend class StoreBuilder;
  Store() = default;

  std::span<const std::int64_t> episode_index_;
  std::vector<Column> columns_;
  std::vector<Clock> clocks_;
  StoreMemory memory_;
  std::shared_ptr<const void> owner_;  ///< of the memory that all of these are views of
};

/// Takes in one episode after the other. What is appended is copied once, into the store's own memory, which grows in
/// place where the system can move pages, so that there never are two copies.
class StoreBuilder {
 public:
  /// Throws InvalidArgument (no stream, a name that is empty or comes twice, a shape or a rate that is none).
  explicit StoreBuilder(std::vector<StoreStream> streams);
  StoreBuilder(StoreBuilder&&) noexcept;
  StoreBuilder& operator=(StoreBuilder&&) noexcept;
  ~StoreBuilder();

  /// `streams`: one for each of the builder's, in their order. After an error the store is as it was before the call.
  /// Throws InvalidArgument (shape, dtype, device), DataError (stamps that fall; names stream and episode), OutOfMemory.
  void append(std::int64_t episode_index, std::span<const EpisodeStream> streams);

  /// The store; the builder has its streams and no episode after that.
  [[nodiscard]] std::shared_ptr<const Store> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace robocache
