#include "robocache/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "core/check.hpp"
#include "core/thread_pool.hpp"
#include "math/permutation.hpp"

namespace robocache {

namespace {

constexpr Check kCheck{"Sampler"};
constexpr auto kMostSamples = static_cast<std::int64_t>(Permutation::kMostElements);
constexpr std::uint64_t kRound = 1 << 20;  ///< samples among which each dataset has its share
constexpr std::int64_t kGrain = 1 << 14;   ///< samples of a thread at least

/// What keys are for: the order of an epoch, who comes when in a round, the order of a dataset's pass.
enum class Purpose : std::uint64_t { epoch, turns, pass };

std::uint64_t key_of(std::uint64_t seed, Purpose purpose, std::uint64_t a, std::uint64_t b = 0) {
  return mix_keys(mix_keys(mix_keys(seed, static_cast<std::uint64_t>(purpose)), a), b);
}

template <class T>
std::string text_of(const std::vector<T>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(values[i]);
  return text + "]";
}

void at_least(const char* subject, std::int64_t got, std::int64_t least) {
  if (got < least) kCheck.fail(subject, std::to_string(got), "at least " + std::to_string(least));
}

void check_weights(const SamplerOptions& o) {
  if (o.weights.size() != o.counts.size()) {
    kCheck.fail("weights", std::to_string(o.weights.size()) + " numbers",
                "one for each of the " + std::to_string(o.counts.size()) + " counts");
  }
  if (!o.shuffle) kCheck.fail("shuffle", "false", "true where weights are given");
  double sum = 0;
  for (std::size_t d = 0; d < o.weights.size(); ++d) {
    const double weight = o.weights[d];
    if (!(weight >= 0) || !std::isfinite(weight)) {
      kCheck.fail({"weights", d, {}, ""}, std::to_string(weight), "a finite number of at least 0");
    }
    if (weight > 0 && o.counts[d] == 0) {
      kCheck.fail({"counts", d, {}, ""}, "0", "at least 1, as its weight is " + std::to_string(weight));
    }
    sum += weight;
  }
  if (!(sum > 0) || !std::isfinite(sum)) kCheck.fail("weights", text_of(o.weights), "a finite sum above 0");
}

/// Where each dataset's share of a round begins: shares are exact to one sample, and none with a weight is empty.
std::vector<std::uint64_t> shares_of(const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const auto given = static_cast<std::uint64_t>(std::ranges::count_if(weights, [](double w) { return w > 0; }));
  std::vector<std::uint64_t> starts{0};
  double before = 0;
  std::uint64_t seen = 0;
  for (const double weight : weights) {
    before += weight;
    seen += weight > 0 ? 1 : 0;
    // One for each so far, and of the rest what their weights say: sums are rounded, so that none is lost.
    starts.push_back(seen +
                     static_cast<std::uint64_t>(std::llround(before / sum * static_cast<double>(kRound - given))));
  }
  return starts;
}

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
    at_least("samples_per_epoch", o.samples_per_epoch, 0);
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
  over_ = false;
  if (batches_left() == 0) state_ = {state.epoch + 1, 0};
}

std::optional<Sampler::Part> Sampler::next() {
  if (std::exchange(over_, false)) return std::nullopt;
  const std::int64_t size = std::min(options_.batch_size, samples_ - state_.position);
  const std::int64_t first = size * options_.rank / options_.world_size;
  const std::int64_t end = size * (options_.rank + 1) / options_.world_size;
  const Part part{state_.epoch, state_.position + first, end - first};
  state_.position += size;
  if (batches_left() == 0) {
    state_ = {state_.epoch + 1, 0};
    over_ = true;
  }
  return part;
}

void Sampler::read(std::int64_t epoch, std::int64_t first, std::span<std::int64_t> out) const {
  if (epoch < 0) kCheck.fail("epoch", std::to_string(epoch), "at least 0");
  const auto count = static_cast<std::int64_t>(out.size());
  if (first < 0 || first > samples_ || count > samples_ - first) {
    kCheck.fail("samples", std::to_string(first) + " to " + std::to_string(first + count),
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
  // A dataset's permutation is kept while its pass lasts; those of small datasets change often.
  struct Pass {
    std::uint64_t number;
    Permutation order;
  };
  std::vector<std::optional<Pass>> passes(options_.counts.size());
  // Epochs follow each other without a gap. Far ones wrap, which is an order like any other.
  const std::uint64_t begin =
      static_cast<std::uint64_t>(epoch) * static_cast<std::uint64_t>(samples_) + static_cast<std::uint64_t>(first);
  for (std::size_t done = 0; done < out.size();) {
    const std::uint64_t round = (begin + done) / kRound;
    const std::uint64_t place = (begin + done) % kRound;
    const std::size_t count = std::min<std::size_t>(out.size() - done, kRound - place);
    const Permutation turns(kRound, key_of(options_.seed, Purpose::turns, round));
    turns.read(place, count, [&](std::size_t i, std::uint64_t turn) {
      const auto d = static_cast<std::size_t>(std::ranges::upper_bound(shares_, turn) - shares_.begin() - 1);
      const std::uint64_t draw = round * (shares_[d + 1] - shares_[d]) + turn - shares_[d];
      const auto samples = static_cast<std::uint64_t>(options_.counts[d]);
      std::optional<Pass>& pass = passes[d];
      if (const std::uint64_t number = draw / samples; !pass || pass->number != number) {
        pass = {number, {samples, key_of(options_.seed, Purpose::pass, d, number)}};
      }
      out[done + i] = starts_[d] + static_cast<std::int64_t>(pass->order(draw % samples));
    });
    done += count;
  }
}

}  // namespace robocache
