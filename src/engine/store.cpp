#include "robocache/store.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "memory/growing_block.hpp"
#include "robocache/error.hpp"

namespace robocache {

namespace {

constexpr Check kCheck{"StoreBuilder"};
constexpr const char* kOp = "StoreBuilder";
constexpr std::int64_t kMostBytes = std::numeric_limits<std::int64_t>::max() / 4;

struct GrowingClock {
  GrowingBlock stamps;
  GrowingBlock offsets;

  [[nodiscard]] std::int64_t samples() const { return static_cast<std::int64_t>(stamps.size() / sizeof(std::int64_t)); }
  void add_offset() noexcept {
    const std::int64_t end = samples();
    std::memcpy(offsets.extend(sizeof end), &end, sizeof end);
  }
};

struct GrowingColumn {
  StoreStream stream;
  std::int64_t width = 1;  ///< D
  std::size_t clock = 0;
  GrowingBlock values;

  [[nodiscard]] std::int64_t row_bytes() const { return width * static_cast<std::int64_t>(size_of(stream.dtype)); }
};

Subject subject_of(std::size_t i, const StoreStream& stream, const char* member) {
  return {"streams", i, stream.name, member};
}

/// Elements of one sample.
std::int64_t width_of(std::size_t i, const StoreStream& stream) {
  const Subject subject = subject_of(i, stream, "shape");
  const std::string text = shape_text(stream.shape);
  if (stream.shape.size() >= static_cast<std::size_t>(kMaxRank)) {
    kCheck.fail(subject, text, "at most " + std::to_string(kMaxRank - 1) + " dimensions");
  }
  std::int64_t width = 1;
  for (const std::int64_t size : stream.shape) {
    if (size < 0) kCheck.fail(subject, text, "sizes of at least 0");
    if (size > 0 && width > kMostBytes / 8 / size) kCheck.fail(subject, text, "a sample that memory can hold");
    width *= size;
  }
  return width;
}

void check_streams(const std::vector<StoreStream>& streams) {
  if (streams.empty()) kCheck.fail("streams", "empty", "at least one");
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const StoreStream& stream = streams[i];
    if (stream.name.empty()) kCheck.fail({"streams", i, {}, "name"}, "empty", "one");
    if (!names.insert(stream.name).second) {
      kCheck.fail({"streams", i, {}, "name"}, "'" + stream.name + "' again", "names that differ");
    }
    if (!(stream.rate_hz >= 0) || !std::isfinite(stream.rate_hz)) {
      kCheck.fail(subject_of(i, stream, "rate_hz"), std::to_string(stream.rate_hz), "a finite number of at least 0",
                  "0 stands for none");
    }
  }
}

/// Bytes of `count` things of `size` bytes.
std::size_t bytes_of(std::int64_t count, std::int64_t size) {
  if (size > 0 && count > kMostBytes / size) {
    throw OutOfMemory("StoreBuilder: an episode has " + std::to_string(count) + " samples of " + std::to_string(size) +
                      " bytes, expected what memory can hold");
  }
  return static_cast<std::size_t>(count) * static_cast<std::size_t>(size);
}

/// The stamps of a stream in an episode.
class Stamps {
 public:
  explicit Stamps(const ConstTensor& tensor)
      : data_(static_cast<const std::int64_t*>(tensor.data)), count_(tensor.shape[0]), stride_(tensor.strides[0]) {}

  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] std::int64_t operator[](std::int64_t i) const { return data_[i * stride_]; }

  [[nodiscard]] bool equal(const Stamps& other) const {
    if (count_ != other.count_) return false;
    if (data_ == other.data_ && stride_ == other.stride_) return true;
    if (packed() && other.packed()) return count_ == 0 || std::memcmp(data_, other.data_, bytes()) == 0;
    for (std::int64_t i = 0; i < count_; ++i) {
      if ((*this)[i] != other[i]) return false;
    }
    return true;
  }

  /// The first sample that is before the one before it; count() when there is none.
  [[nodiscard]] std::int64_t first_fall() const {
    for (std::int64_t i = 1; i < count_; ++i) {
      if ((*this)[i] < (*this)[i - 1]) return i;
    }
    return count_;
  }

  void copy_to(std::byte* out) const {
    if (packed()) {
      if (count_ > 0) std::memcpy(out, data_, bytes());
      return;
    }
    for (std::int64_t i = 0; i < count_; ++i, out += sizeof(std::int64_t)) {
      std::memcpy(out, &data_[i * stride_], sizeof(std::int64_t));
    }
  }

 private:
  [[nodiscard]] bool packed() const { return stride_ == 1 || count_ == 0; }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(std::int64_t); }

  const std::int64_t* data_;
  std::int64_t count_;
  std::int64_t stride_;
};

void check_tensors(std::size_t i, const GrowingColumn& column, const EpisodeStream& episode) {
  const StoreStream& stream = column.stream;
  const Subject values = subject_of(i, stream, "values");
  const Subject stamps = subject_of(i, stream, "stamps_ns");
  Dim samples{"S"};
  kCheck.shape(values, episode.values, {&samples, column.width});
  kCheck.shape(stamps, episode.stamps_ns, {&samples});
  kCheck.dtype(stamps, episode.stamps_ns, DType::i64);
  if (episode.values.dtype != stream.dtype) kCheck.fail(values, name(episode.values.dtype), name(stream.dtype));
  kCheck.device(values, episode.values, {});
  kCheck.device(stamps, episode.stamps_ns, {});
  if (samples.value > 0 && column.width > 1 && episode.values.strides[1] != 1) {
    kCheck.fail(values, "of column stride " + std::to_string(episode.values.strides[1]), "contiguous columns");
  }
}

void copy_rows(const ConstTensor& values, std::size_t row_bytes, std::byte* out) {
  if (values.numel() == 0) return;
  const auto* row = static_cast<const std::byte*>(values.data);
  const std::int64_t pitch = values.strides[0] * static_cast<std::int64_t>(size_of(values.dtype));
  if (pitch == static_cast<std::int64_t>(row_bytes)) {
    std::memcpy(out, row, static_cast<std::size_t>(values.shape[0]) * row_bytes);
    return;
  }
  for (std::int64_t i = 0; i < values.shape[0]; ++i, out += row_bytes) std::memcpy(out, row + i * pitch, row_bytes);
}

/// A clock with the same past and room for `bytes` more stamps.
GrowingClock copy_of(const GrowingClock& clock, std::size_t bytes) {
  GrowingClock copy;
  copy.stamps.reserve_more(kOp, clock.stamps.size() + bytes);
  copy.offsets.reserve_more(kOp, clock.offsets.size() + sizeof(std::int64_t));
  if (clock.stamps.size() > 0) {
    std::memcpy(copy.stamps.extend(clock.stamps.size()), clock.stamps.data(), clock.stamps.size());
  }
  std::memcpy(copy.offsets.extend(clock.offsets.size()), clock.offsets.data(), clock.offsets.size());
  return copy;
}

/// Whether sample i of each episode is at first + round(i / rate), to 1 ns.
bool is_regular(const Store::Clock& clock, double rate_hz) {
  const auto* stamps = static_cast<const std::int64_t*>(clock.stamps_ns.data);
  const auto* offsets = static_cast<const std::int64_t*>(clock.offsets.data);
  // Of more than 100 days a double no longer holds single nanoseconds.
  const auto rate = static_cast<long double>(rate_hz);
  for (std::int64_t e = 0; e + 1 < clock.offsets.shape[0]; ++e) {
    for (std::int64_t i = offsets[e]; i < offsets[e + 1]; ++i) {
      const std::uint64_t passed =
          static_cast<std::uint64_t>(stamps[i]) - static_cast<std::uint64_t>(stamps[offsets[e]]);
      const long double want = std::round(static_cast<long double>(i - offsets[e]) * 1e9L / rate);
      if (std::abs(static_cast<long double>(passed) - want) > 1) return false;
    }
  }
  return true;
}

}  // namespace

struct StoreBuilder::State {
  std::vector<std::int64_t> episode_index;
  std::vector<GrowingColumn> columns;
  std::vector<GrowingClock> clocks;

  explicit State(std::vector<StoreStream> streams);

  /// Which clock each column has from this episode on, and the clocks that are new. May throw, so it comes first.
  struct Split {
    std::vector<std::size_t> clock_of;
    std::vector<std::size_t> column_of;  ///< the first of each clock, whose stamps it takes
    std::vector<GrowingClock> added;
  };
  void check(std::span<const EpisodeStream> episode) const;
  void check_order(std::int64_t index, std::span<const EpisodeStream> episode) const;
  void reserve(std::span<const EpisodeStream> episode);
  [[nodiscard]] Split split(std::span<const EpisodeStream> episode);
  void commit(std::int64_t index, std::span<const EpisodeStream> episode, Split& split) noexcept;

  [[nodiscard]] std::vector<StoreStream> streams() const;
  void trim();
  [[nodiscard]] std::vector<Store::Column> column_views() const;
  [[nodiscard]] std::vector<Store::Clock> clock_views() const;
  [[nodiscard]] std::size_t bytes() const;
};

StoreBuilder::State::State(std::vector<StoreStream> streams) {
  check_streams(streams);
  columns.reserve(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    GrowingColumn column;
    column.width = width_of(i, streams[i]);
    column.stream = std::move(streams[i]);
    columns.push_back(std::move(column));
  }
  // Until an episode shows a difference, all streams share a clock.
  GrowingClock& clock = clocks.emplace_back();
  clock.offsets.reserve_more(kOp, sizeof(std::int64_t));
  clock.add_offset();
}

void StoreBuilder::State::check(std::span<const EpisodeStream> episode) const {
  if (episode.size() != columns.size()) {
    kCheck.fail("streams", std::to_string(episode.size()) + " arrays", std::to_string(columns.size()));
  }
  for (std::size_t i = 0; i < columns.size(); ++i) check_tensors(i, columns[i], episode[i]);
}

void StoreBuilder::State::check_order(std::int64_t index, std::span<const EpisodeStream> episode) const {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Stamps stamps(episode[i].stamps_ns);
    if (const std::int64_t fall = stamps.first_fall(); fall < stamps.count()) {
      throw DataError("StoreBuilder: stamps_ns of stream '" + columns[i].stream.name + "' in episode " +
                      std::to_string(index) + " is " + std::to_string(stamps[fall]) + " at sample " +
                      std::to_string(fall) + ", expected at least the " + std::to_string(stamps[fall - 1]) + " before");
    }
  }
}

void StoreBuilder::State::reserve(std::span<const EpisodeStream> episode) {
  if (episode_index.size() == episode_index.capacity()) episode_index.reserve(2 * episode_index.size() + 8);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::int64_t samples = episode[i].values.shape[0];
    columns[i].values.reserve_more(kOp, bytes_of(samples, columns[i].row_bytes()));
    clocks[columns[i].clock].stamps.reserve_more(kOp, bytes_of(samples, sizeof(std::int64_t)));
  }
  for (GrowingClock& clock : clocks) clock.offsets.reserve_more(kOp, sizeof(std::int64_t));
}

StoreBuilder::State::Split StoreBuilder::State::split(std::span<const EpisodeStream> episode) {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  Split split;
  split.column_of.assign(clocks.size(), kNone);
  std::vector<std::size_t> past(clocks.size());  // the clock that each one was before
  std::iota(past.begin(), past.end(), std::size_t{0});
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Stamps stamps(episode[i].stamps_ns);
    std::size_t clock = columns[i].clock;
    if (split.column_of[clock] == kNone) split.column_of[clock] = i;
    const auto fits = [&](std::size_t c) {
      return past[c] == columns[i].clock && stamps.equal(Stamps(episode[split.column_of[c]].stamps_ns));
    };
    if (!fits(clock)) {
      clock = clocks.size();
      while (clock < past.size() && !fits(clock)) ++clock;
      if (clock == past.size()) {
        past.push_back(columns[i].clock);
        split.column_of.push_back(i);
        split.added.push_back(copy_of(clocks[columns[i].clock], bytes_of(stamps.count(), sizeof(std::int64_t))));
      }
    }
    split.clock_of.push_back(clock);
  }
  clocks.reserve(past.size());
  return split;
}

void StoreBuilder::State::commit(std::int64_t index, std::span<const EpisodeStream> episode, Split& split) noexcept {
  episode_index.push_back(index);
  for (GrowingClock& clock : split.added) clocks.push_back(std::move(clock));
  for (std::size_t c = 0; c < clocks.size(); ++c) {
    const Stamps stamps(episode[split.column_of[c]].stamps_ns);
    stamps.copy_to(clocks[c].stamps.extend(static_cast<std::size_t>(stamps.count()) * sizeof(std::int64_t)));
    clocks[c].add_offset();
  }
  for (std::size_t i = 0; i < columns.size(); ++i) {
    GrowingColumn& column = columns[i];
    column.clock = split.clock_of[i];
    const auto row_bytes = static_cast<std::size_t>(column.row_bytes());
    const ConstTensor& values = episode[i].values;
    copy_rows(values, row_bytes, column.values.extend(static_cast<std::size_t>(values.shape[0]) * row_bytes));
  }
}

std::vector<StoreStream> StoreBuilder::State::streams() const {
  std::vector<StoreStream> streams;
  streams.reserve(columns.size());
  for (const GrowingColumn& column : columns) streams.push_back(column.stream);
  return streams;
}

void StoreBuilder::State::trim() {
  episode_index.shrink_to_fit();
  for (GrowingClock& clock : clocks) clock.stamps.trim(), clock.offsets.trim();
  for (GrowingColumn& column : columns) column.values.trim();
}

std::vector<Store::Column> StoreBuilder::State::column_views() const {
  std::vector<Store::Column> views;
  for (const GrowingColumn& column : columns) {
    const std::int64_t samples = clocks[column.clock].samples();
    views.push_back({.stream = column.stream,
                     .values = {column.values.data(), column.stream.dtype, {samples, column.width}},
                     .clock = static_cast<std::int64_t>(column.clock)});
  }
  return views;
}

std::vector<Store::Clock> StoreBuilder::State::clock_views() const {
  std::vector<Store::Clock> views;
  for (std::size_t c = 0; c < clocks.size(); ++c) {
    const auto offsets = static_cast<std::int64_t>(episode_index.size()) + 1;
    Store::Clock view{.stamps_ns = {clocks[c].stamps.data(), DType::i64, {clocks[c].samples()}},
                      .offsets = {clocks[c].offsets.data(), DType::i64, {offsets}}};
    std::set<double> rates;
    for (const GrowingColumn& column : columns) {
      if (column.clock == c && column.stream.rate_hz > 0) rates.insert(column.stream.rate_hz);
    }
    if (rates.size() == 1 && is_regular(view, *rates.begin())) view.rate_hz = *rates.begin();
    views.push_back(view);
  }
  return views;
}

std::size_t StoreBuilder::State::bytes() const {
  std::size_t bytes = episode_index.capacity() * sizeof(std::int64_t);
  for (const GrowingClock& clock : clocks) bytes += clock.stamps.capacity() + clock.offsets.capacity();
  for (const GrowingColumn& column : columns) bytes += column.values.capacity();
  return bytes;
}

StoreBuilder::StoreBuilder(std::vector<StoreStream> streams) : state_(std::make_unique<State>(std::move(streams))) {}
StoreBuilder::StoreBuilder(StoreBuilder&&) noexcept = default;
StoreBuilder& StoreBuilder::operator=(StoreBuilder&&) noexcept = default;
StoreBuilder::~StoreBuilder() = default;

void StoreBuilder::append(std::int64_t episode_index, std::span<const EpisodeStream> streams) {
  state_->check(streams);
  state_->reserve(streams);
  state_->check_order(episode_index, streams);
  State::Split split = state_->split(streams);
  state_->commit(episode_index, streams, split);
}

std::shared_ptr<const Store> StoreBuilder::finish() {
  auto next = std::make_unique<State>(state_->streams());
  const std::shared_ptr<Store> store(new Store);
  state_->trim();
  store->columns_ = state_->column_views();
  store->clocks_ = state_->clock_views();
  store->memory_.host = state_->bytes();
  store->episode_index_ = state_->episode_index;
  store->owner_ = std::shared_ptr<const State>(std::move(state_));
  state_ = std::move(next);
  return store;
}

}  // namespace robocache
