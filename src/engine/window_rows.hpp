#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/align.hpp"
#include "robocache/windows.hpp"

namespace robocache {

/// One anchor of a batch.
struct Anchor {
  std::int64_t episode = 0;  ///< its place in the store
  std::int64_t sample = 0;   ///< in the episode
  std::int64_t stamp_ns = 0;
  std::int64_t first_ns = 0;  ///< of the first sample in the episode
};

/// Stamps of a clock, episode after episode.
struct ClockView {
  const std::int64_t* stamps;
  const std::int64_t* offsets;
  std::int64_t episodes;

  explicit ClockView(const Store::Clock& clock)
      : stamps(static_cast<const std::int64_t*>(clock.stamps_ns.data)),
        offsets(static_cast<const std::int64_t*>(clock.offsets.data)),
        episodes(clock.offsets.shape[0] - 1) {}

  [[nodiscard]] std::int64_t samples() const { return offsets[episodes]; }
};

/// The anchor with a number that is there.
Anchor anchor_of(const ClockView& clock, std::int64_t number);

/// Where the marks of a window go; null: not wanted.
struct WindowMarks {
  bool* is_pad = nullptr;
  bool* valid = nullptr;
  std::int64_t* age_ns = nullptr;

  void set(std::size_t k, bool pad, bool ok, std::int64_t age) const {
    if (is_pad != nullptr) is_pad[k] = pad;
    if (valid != nullptr) valid[k] = ok;
    if (age_ns != nullptr) age_ns[k] = age;
  }
};

/// Writes values [B, K, D] and is_pad [B, K] (or null) of a window that is a run.
void copy_runs(const Windows::Plan& plan, const Store::Column& column, const ClockView& clock,
               std::span<const Anchor> anchors, void* out, bool* is_pad, int threads);

/// Finds the K rows of a window for each anchor: steps and marks, [B, K]. Returns the first anchor with a target that
/// `outside` refuses.
std::optional<std::size_t> place_windows(const Windows::Plan& plan, const ClockView& clock,
                                         std::span<const Anchor> anchors, PlanStep* steps, const WindowMarks& marks);

}  // namespace robocache
