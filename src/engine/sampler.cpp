#include "robocache/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/check.hpp"
#include "core/thread_pool.hpp"
#include "math/permutation.hpp"

namespace robocache {

namespace {

constexpr Check kCheck{"Sampler"};
constexpr auto kMostSamples = static_cast<std::int64_t>(Permutation::kMostElements);
constexpr int kRoundBits = 20;
constexpr std::uint64_t kRound = 1 << kRoundBits;  ///< samples among which each dataset has its share
constexpr std::size_t kMostDatasets = 1 << 16;     ///< with weights
constexpr std::int64_t kGrain = 1 << 14;           ///< samples of a thread at least

/// What keys are for: the order of an epoch, who comes when in a round, the order of a dataset's pass.
enum class Purpose : std::uint64_t { epoch, turns, pass };

std::uint64_t key_of(std::uint64_t seed, Purpose purpose, std::uint64_t a, std::uint64_t b = 0) {
  return mix_keys(mix_keys(mix_keys(seed, static_cast<std::uint64_t>(purpose)), a), b);
}

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}
std::string text_of(std::int64_t value) { return std::to_string(value); }

template <class T>
std::string text_of(const std::vector<T>& values) {
  constexpr std::size_t kShown = 8;
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(values.size(), kShown); ++i) text += (i > 0 ? ", " : "") + text_of(values[i]);
  return text + (values.size() > kShown ? ", ...]" : "]");
}

void at_least(const char* subject, std::int64_t got, std::int64_t least) {
  if (got < least) kCheck.fail(subject, std::to_string(got), "at least " + std::to_string(least));
}

void check_weights(const SamplerOptions& o) {
  if (o.weights.size() > kMostDatasets) {
    kCheck.fail("weights", std::to_string(o.weights.size()) + " numbers", "at most " + std::to_string(kMostDatasets));
  }
  if (o.weights.size() != o.counts.size()) {
    kCheck.fail("weights", std::to_string(o.weights.size()) + " numbers",
                "one for each of the " + std::to_string(o.counts.size()) + " counts");
  }
  if (!o.shuffle) kCheck.fail("shuffle", "false", "true where weights are given");
  double sum = 0;
  for (std::size_t d = 0; d < o.weights.size(); ++d) {
    const double weight = o.weights[d];
    if (!(weight >= 0) || !std::isfinite(weight)) {
      kCheck.fail({"weights", d, {}, ""}, text_of(weight), "a finite number of at least 0");
    }
    if (weight > 0 && o.counts[d] == 0) {
      kCheck.fail({"counts", d, {}, ""}, "0", "at least 1, as its weight is " + text_of(weight));
    }
    sum += weight;
  }
  if (!(sum > 0) || !std::isfinite(sum)) kCheck.fail("weights", text_of(o.weights), "a finite sum above 0");
}

/// Where each dataset's share of a round begins: the sum of the weights before it, rounded. One with a weight that would
/// get nothing gets a sample of the one that then has most, the first of these.
std::vector<std::uint64_t> shares_of(const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::uint64_t> sizes;
  std::uint64_t end = 0;
  double before = 0;
  for (const double weight : weights) {
    before += weight;
    const auto next = static_cast<std::uint64_t>(std::floor(before / sum * static_cast<double>(kRound) + 0.5));
    sizes.push_back(next - std::exchange(end, next));
  }
  const auto smaller = [&](std::size_t a, std::size_t b) { return std::pair(sizes[a], b) < std::pair(sizes[b], a); };
  // Those that can give: fewer datasets than half of a round's samples leave one with more than a lifted one's single.
  std::vector<std::size_t> heap;
  for (std::size_t d = 0; d < weights.size(); ++d) {
    if (sizes[d] > 0) heap.push_back(d);
  }
  std::ranges::make_heap(heap, smaller);
  for (std::size_t d = 0; d < weights.size(); ++d) {
    if (!(weights[d] > 0) || sizes[d] > 0) continue;
    std::ranges::pop_heap(heap, smaller);
    --sizes[heap.back()];
    std::ranges::push_heap(heap, smaller);
    sizes[d] = 1;
  }
  std::vector<std::uint64_t> starts{0};
  for (const std::uint64_t size : sizes) starts.push_back(starts.back() + size);
  return starts;
}

/// The low `bits` bits of x, at least one and at most 32, the last one first.
std::uint64_t reversed(std::uint64_t x, int bits) {
  auto z = static_cast<std::uint32_t>(x);
  z = (z >> 1 & 0x55555555U) | (z & 0x55555555U) << 1;
  z = (z >> 2 & 0x33333333U) | (z & 0x33333333U) << 2;
  z = (z >> 4 & 0x0F0F0F0FU) | (z & 0x0F0F0F0FU) << 4;
  z = (z >> 8 & 0x00FF00FFU) | (z & 0x00FF00FFU) << 8;
  return ((z >> 16) | (z << 16)) >> (32 - bits);
}

/// Who comes when in a round: the place with its bits reversed is a turn, so that any part of the round has turns from
/// everywhere (van der Corput's sequence), and how many of a range came before a place takes no list.
class Turns {
 public:
  explicit Turns(std::uint64_t key) : shift_(key % kRound) {}

  [[nodiscard]] std::uint64_t at(std::uint64_t place) const { return reversed(place, kRoundBits) ^ shift_; }

  /// How many of the turns below `end` are at places before `place`.
  [[nodiscard]] std::uint64_t before(std::uint64_t place, std::uint64_t end) const {
    if (end == kRound) return place;
    std::uint64_t count = 0;
    for (int low = 0; low < kRoundBits; ++low) {
      if ((end >> low & 1) == 0) continue;
      // Turns that have the bits of `end` above this one, and 0 here: places that have the same low bits.
      const int fixed = kRoundBits - low;
      const std::uint64_t alike = reversed((end >> low ^ 1) ^ shift_ >> low, fixed);
      if (place > alike) count += ((place - alike - 1) >> fixed) + 1;
    }
    return count;
  }

 private:
  std::uint64_t shift_;
};

}  // namespace

Sampler::Sampler(SamplerOptions options) : options_(std::move(options)) {
  const SamplerOptions& o = options_;
  for (std::size_t d = 0; d < o.counts.size(); ++d) {
    if (o.counts[d] < 0) kCheck.fail({"counts", d, {}, ""}, std::to_string(o.counts[d]), "at least 0");
    starts_.push_back(samples_);
    if (o.counts[d] > kMostSamples - samples_) kCheck.fail("counts", text_of(o.counts), "a sum of at most 2^60");
    samples_ += o.counts[d];
  }
  if (samples_ == 0) kCheck.fail("counts", text_of(o.counts), "at least one sample");
  if (!o.weights.empty()) {
    check_weights(o);
    shares_ = shares_of(o.weights);
  }
  if (o.samples_per_epoch != 0) {
    at_least("samples_per_epoch", o.samples_per_epoch, 1);
    if (o.weights.empty()) {
      kCheck.fail("samples_per_epoch", std::to_string(o.samples_per_epoch), "none where no weights are given");
    }
    samples_ = o.samples_per_epoch;
  }
  at_least("batch_size", o.batch_size, 1);
  if (o.drop_last && o.batch_size > samples_) {
    kCheck.fail("batch_size", std::to_string(o.batch_size), "at most " + std::to_string(samples_) + " samples",
                "drop_last leaves no batch");
  }
  at_least("world_size", o.world_size, 1);
  if (o.rank < 0 || o.rank >= o.world_size) {
    kCheck.fail("rank", std::to_string(o.rank), "0 to world_size - 1 = " + std::to_string(o.world_size - 1));
  }
  if (std::min(o.batch_size, samples_) > kMostSamples / o.world_size) {
    kCheck.fail("batch_size", std::to_string(o.batch_size), "at most 2^60 / world_size");
  }
}

std::int64_t Sampler::batches_left() const {
  const std::int64_t left = samples_ - state_.position;
  return left / options_.batch_size + (options_.drop_last || left % options_.batch_size == 0 ? 0 : 1);
}

void Sampler::seek(SamplerState state) {
  constexpr std::int64_t kMostEpochs = std::int64_t{1} << 62;
  if (state.epoch < 0 || state.epoch >= kMostEpochs) {
    kCheck.fail("epoch", std::to_string(state.epoch), "0 to 2^62 - 1");
  }
  if (state.position < 0 || state.position > samples_) {
    kCheck.fail("position", std::to_string(state.position),
                "0 to the epoch's " + std::to_string(samples_) + " samples");
  }
  state_ = state;
  if (batches_left() == 0) state_ = {state.epoch + 1, 0};
}

Sampler::Part Sampler::part() const {
  const std::int64_t size = std::min(options_.batch_size, samples_ - state_.position);
  const std::int64_t first = size * options_.rank / options_.world_size;
  const std::int64_t end = size * (options_.rank + 1) / options_.world_size;
  return {state_.epoch, state_.position + first, end - first};
}

void Sampler::advance() {
  state_.position += std::min(options_.batch_size, samples_ - state_.position);
  if (batches_left() == 0) state_ = {state_.epoch + 1, 0};
}

void Sampler::read(std::int64_t epoch, std::int64_t first, std::span<std::int64_t> out) const {
  if (epoch < 0) kCheck.fail("epoch", std::to_string(epoch), "at least 0");
  const auto count = static_cast<std::int64_t>(out.size());
  if (first < 0 || first > samples_ || count > samples_ - first) {
    kCheck.fail("samples", std::to_string(count) + " from " + std::to_string(first) + " on",
                "some of the epoch's " + std::to_string(samples_));
  }
  parallel_for(count, kGrain, 0, [&](std::int64_t begin, std::int64_t end) {
    const std::span<std::int64_t> part =
        out.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    if (!options_.shuffle) {
      std::iota(part.begin(), part.end(), first + begin);
    } else if (shares_.empty()) {
      read_one_order(epoch, first + begin, part);
    } else {
      read_mixture(epoch, first + begin, part);
    }
  });
}

void Sampler::read_one_order(std::int64_t epoch, std::int64_t first, std::span<std::int64_t> out) const {
  const Permutation order(static_cast<std::uint64_t>(samples_),
                          key_of(options_.seed, Purpose::epoch, static_cast<std::uint64_t>(epoch)));
  order.read(static_cast<std::uint64_t>(first), out.size(),
             [&](std::size_t i, std::uint64_t sample) { out[i] = static_cast<std::int64_t>(sample); });
}

void Sampler::read_mixture(std::int64_t epoch, std::int64_t first, std::span<std::int64_t> out) const {
  // Of the datasets that are met. A permutation is kept while its pass lasts.
  struct Cursor {
    std::uint64_t draw;  ///< the next one
    std::uint64_t pass;
    Permutation order;
  };
  std::unordered_map<std::size_t, Cursor> cursors;
  // Epochs follow each other without a gap, modulo 2^64.
  const std::uint64_t begin =
      static_cast<std::uint64_t>(epoch) * static_cast<std::uint64_t>(samples_) + static_cast<std::uint64_t>(first);
  const auto order_of = [&](std::size_t d, std::uint64_t pass) {
    return Permutation(static_cast<std::uint64_t>(options_.counts[d]), key_of(options_.seed, Purpose::pass, d, pass));
  };
  std::uint64_t round = begin / kRound;
  Turns turns(key_of(options_.seed, Purpose::turns, round));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t place = (begin + i) % kRound;
    if (const std::uint64_t now = (begin + i) / kRound; std::exchange(round, now) != now) {
      turns = Turns(key_of(options_.seed, Purpose::turns, round));
    }
    const std::uint64_t turn = turns.at(place);
    const auto d = static_cast<std::size_t>(std::ranges::upper_bound(shares_, turn) - shares_.begin() - 1);
    const auto count = static_cast<std::uint64_t>(options_.counts[d]);
    auto cursor = cursors.find(d);
    if (cursor == cursors.end()) {
      const std::uint64_t rank = turns.before(place, shares_[d + 1]) - turns.before(place, shares_[d]);
      const std::uint64_t draw = round * (shares_[d + 1] - shares_[d]) + rank;
      cursor = cursors.emplace(d, Cursor{draw, draw / count, order_of(d, draw / count)}).first;
    }
    Cursor& at = cursor->second;
    if (const std::uint64_t pass = at.draw / count; pass != at.pass) at.pass = pass, at.order = order_of(d, pass);
    out[i] = starts_[d] + static_cast<std::int64_t>(at.order(at.draw++ % count));
  }
}

}  // namespace robocache
