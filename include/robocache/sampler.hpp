#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace robocache {

/// In which order samples of one or more datasets come, and who gets which of them.
struct SamplerOptions {
  std::vector<std::int64_t> counts = {};  ///< samples of each dataset; sample i of dataset d is number counts[0..d) + i
  std::vector<double> weights = {};       ///< share of each dataset in what is drawn; empty: each sample once an epoch
  std::int64_t samples_per_epoch = 0;     ///< 0: the sum of counts; anything else needs weights
  std::int64_t batch_size = 1;            ///< of all ranks together
  bool shuffle = true;                    ///< false: in order; weights need true
  bool drop_last = false;                 ///< leave out a last batch that is smaller
  std::uint64_t seed = 0;
  std::int64_t rank = 0, world_size = 1;
};

/// A place between two samples of the order. It counts samples of all ranks, so it means the same for any batch size
/// and any number of ranks.
struct SamplerState {
  std::int64_t epoch = 0;
  std::int64_t position = 0;  ///< in the epoch
  friend bool operator==(const SamplerState&, const SamplerState&) = default;
};

/// The order of an epoch is a permutation that seed and epoch choose (math/permutation.hpp): no list of samples is
/// kept, every place of it can be asked for by itself, and it is the same for any batch size, world size and number of
/// threads. A batch is the next batch_size samples of it; rank r of n gets samples floor(r m / n) to floor((r + 1) m / n)
/// of its m, so that parts differ by one at most. With fewer samples than ranks some parts are empty.
///
/// With weights, datasets take turns: of every 2^20 samples each has its share to one sample, in shuffled order, and
/// one at least. Each goes through its own permutations one after the other, so that none of its samples comes a second
/// time before all have come. All that goes on from epoch to epoch.
///
/// Not for several threads at once; `read` is.
class Sampler {
 public:
  /// Throws InvalidArgument.
  explicit Sampler(SamplerOptions options);

  [[nodiscard]] const SamplerOptions& options() const { return options_; }
  /// Samples of an epoch, of all ranks.
  [[nodiscard]] std::int64_t samples() const { return samples_; }
  /// Batches that this epoch still has.
  [[nodiscard]] std::int64_t batches_left() const;

  [[nodiscard]] SamplerState state() const { return state_; }
  /// Goes on from there. Throws InvalidArgument for a place that no epoch has.
  void seek(SamplerState state);

  /// Where this rank's part of a batch is in the order.
  struct Part {
    std::int64_t epoch, first, count;
  };
  /// The next batch; none: the epoch is over, and the call after this one begins the next.
  std::optional<Part> next();

  /// The numbers of samples `first` to `first + out.size()` of the order of an epoch, less than samples().
  void read(std::int64_t epoch, std::int64_t first, std::span<std::int64_t> out) const;

 private:
  void read_one_order(std::int64_t epoch, std::int64_t first, std::span<std::int64_t> out) const;
  void read_mixture(std::int64_t epoch, std::int64_t first, std::span<std::int64_t> out) const;

  SamplerOptions options_;
  std::vector<std::int64_t> starts_;  ///< number of each dataset's first sample
  std::vector<std::uint64_t>
      shares_;  ///< with weights: where each dataset's share of a round begins; the last: its end
  std::int64_t samples_ = 0;
  SamplerState state_;
  bool over_ = false;  ///< the last batch of an epoch was given, and nobody was told yet
};

}  // namespace robocache
