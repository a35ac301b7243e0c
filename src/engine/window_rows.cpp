#include "engine/window_rows.hpp"

#include <algorithm>
#include <cmath>

#include "math/unit.hpp"

namespace robocache {

namespace {

/// A weight from which on the later sample is the nearer one; a tie is one in spite of the rounding of rate and offset.
constexpr double kHalf = 0.5 + 1e-9;

/// The stamps of one episode.
struct EpisodeStamps {
  const std::int64_t* first;

  std::int64_t operator()(std::int64_t i) const { return first[i]; }
};

/// A window's rows in one episode.
class EpisodeRows {
 public:
  EpisodeRows(const Windows::Plan& plan, const ClockView& clock, const Anchor& anchor)
      : plan_(plan),
        stamps_{clock.stamps + clock.offsets[anchor.episode]},
        count_(clock.offsets[anchor.episode + 1] - clock.offsets[anchor.episode]),
        options_{plan.interp, plan.window.before, plan.window.after, plan.window.max_gap_ns, plan.window.max_age_ns},
        base_(first_counted(anchor)),
        limited_(plan.window.max_gap_ns != kNoLimit || plan.window.max_age_ns != kNoLimit) {}

  /// Writes row after row; false where one is refused.
  bool place(const Anchor& anchor, PlanStep* steps, const WindowMarks& marks) {
    bool accepted = true;
    if (plan_.window.last > 0) found_ = last_at_or_before(anchor.stamp_ns);
    for (std::size_t k = 0; k < plan_.targets.size(); ++k) {
      if (base_ && count(*base_, anchor, plan_.targets[k], k, steps, marks)) continue;
      const Row row = plan_.window.last > 0 ? counted_back(anchor, k) : placed(anchor, plan_.targets[k]);
      const Placement& p = row.unit.p;
      accepted = accepted && !p.refused;
      steps[k] = {p.store == Placement::Store::fill ? -1 : p.index, p.weight, row.unit.around.before_width,
                  row.unit.around.after_width};
      marks.set(k, row.is_pad, p.valid, p.age_ns);
    }
    return accepted;
  }

 private:
  struct Row {
    UnitPlace unit{};
    bool is_pad = true;
  };

  /// Where the anchor is among the samples of the stream, which are counted from there; none: they are not. Two clocks of
  /// one rate may begin at different samples of it: T actions behind T + 1 observations, a sensor that was late.
  [[nodiscard]] std::optional<std::int64_t> first_counted(const Anchor& anchor) const {
    if (plan_.window.last > 0) return std::nullopt;
    if (plan_.same_clock) return anchor.sample;
    if (!plan_.counted || count_ == 0) return std::nullopt;
    const auto later_ns = static_cast<double>(Clock<std::int64_t>::age_ns(stamps_(0), anchor.first_ns));
    const double samples = std::nearbyint(later_ns * plan_.rate_hz / 1e9);
    const bool on_grid = std::abs(samples * 1e9 / plan_.rate_hz - later_ns) <= static_cast<double>(plan_.slack_ns);
    return on_grid ? std::optional(anchor.sample - static_cast<std::int64_t>(samples)) : std::nullopt;
  }

  static Placement sample(std::int64_t index, std::int64_t age_ns) {
    Placement p;
    p.store = Placement::Store::copy;
    p.index = index;
    p.age_ns = age_ns;
    p.valid = true;
    return p;
  }

  /// A row among the samples of an episode that are counted; false where it is beyond them.
  bool count(std::int64_t base, const Anchor& anchor, const Windows::Target& target, std::size_t k, PlanStep* steps,
             const WindowMarks& marks) const {
    if (!target.is_sample && plan_.interp == Interp::pchip) return false;  // needs more than a weight
    if (!target.is_sample && !plan_.counted) return false;
    const std::int64_t i = base + target.samples;
    if (i < 0 || i + (target.is_sample ? 0 : 1) >= count_) return false;
    steps[k] = {i, 0, 0, 0};
    bool valid = true;
    std::int64_t age_ns = 0;
    if (!target.is_sample) {
      if (is_curve(plan_.interp)) {
        steps[k].weight = target.weight;
      } else if (plan_.interp == Interp::nearest && target.weight > kHalf) {
        ++steps[k].index;
      }
      if (limited_ || marks.age_ns != nullptr) {
        const std::int64_t t = Clock<std::int64_t>::sum(anchor.stamp_ns, target.time_ns);
        const Placement p = place_between(i, i + 1, stamps_(i), stamps_(i + 1), t, options_);
        valid = p.valid;
        age_ns = p.age_ns;
      }
    }
    marks.set(k, false, valid, age_ns);
    return true;
  }

  /// A row that is found by its time.
  [[nodiscard]] Row placed(const Anchor& anchor, const Windows::Target& target) {
    // A sample's number says on which side of the episode a row is, where its stamp may be rounded to the other one.
    const bool outside = base_.has_value() && target.is_sample;
    const std::int64_t guess = base_ && plan_.counted ? *base_ + target.samples : -1;
    std::int64_t t = Clock<std::int64_t>::sum(anchor.stamp_ns, target.time_ns);
    std::int64_t i = 0;
    if (outside) {
      i = *base_ + target.samples < 0 ? -1 : count_ - 1;
    } else {
      i = last_at_or_before(Clock<std::int64_t>::sum(t, plan_.slack_ns), guess);
      if (i >= 0 && stamps_(i) >= Clock<std::int64_t>::sum(t, -plan_.slack_ns))
        t = stamps_(i);  // rounding apart, it is that sample
    }
    const AllSamples<std::int64_t, EpisodeStamps> all{stamps_, count_};
    const bool is_pad = outside || i < 0 || t > stamps_(count_ - 1);
    return {
        detail::with_shoulders<std::int64_t>(all, robocache::place<std::int64_t>(all, i, t, options_), plan_.interp),
        is_pad};
  }

  /// Row k of the last samples, of which `found_` is the last. Before the first of the episode that one stands.
  [[nodiscard]] Row counted_back(const Anchor& anchor, std::size_t k) const {
    if (count_ == 0) return {{place_nowhere(), {}}, true};
    const std::int64_t i = found_ - (plan_.window.last - 1 - static_cast<std::int64_t>(k));
    const std::int64_t there = std::max(i, std::int64_t{0});
    Row row{{sample(there, Clock<std::int64_t>::age_ns(anchor.stamp_ns, stamps_(there))), {}}, i < 0};
    row.unit.p.valid = i >= 0;
    return row;
  }

  /// From where the last one was found on, or from a guess.
  std::int64_t last_at_or_before(std::int64_t t, std::int64_t guess = -1) {
    std::int64_t i = std::clamp(guess >= 0 ? guess : found_, std::int64_t{-1}, count_ - 1);
    constexpr int kSteps = 4;  // as far as a guess is off, and more
    for (int step = 0; step < kSteps; ++step) {
      if (i >= 0 && stamps_(i) > t) {
        --i;
      } else if (i + 1 < count_ && stamps_(i + 1) <= t) {
        ++i;
      } else {
        return found_ = i;
      }
    }
    return found_ = robocache::last_at_or_before<std::int64_t>(stamps_, 0, count_, t);
  }

  const Windows::Plan& plan_;
  EpisodeStamps stamps_;
  std::int64_t count_;
  PlaceOptions options_;
  std::optional<std::int64_t> base_;  ///< where the anchor is among the samples that are counted
  bool limited_;                      ///< gaps or ages
  std::int64_t found_ = -1;
};

}  // namespace

Anchor anchor_of(const ClockView& clock, std::int64_t number) {
  const std::int64_t* const after = std::upper_bound(clock.offsets, clock.offsets + clock.episodes + 1, number);
  const std::int64_t episode = after - clock.offsets - 1;
  const std::int64_t first = clock.offsets[episode];
  return {episode, number - first, clock.stamps[number], clock.stamps[first]};
}

std::optional<std::size_t> place_windows(const Windows::Plan& plan, const ClockView& clock,
                                         std::span<const Anchor> anchors, PlanStep* steps, const WindowMarks& marks) {
  std::optional<std::size_t> refused;
  const auto next = [k = plan.targets.size()](auto* p, std::size_t b) { return p != nullptr ? p + b * k : nullptr; };
  for (std::size_t b = 0; b < anchors.size(); ++b) {
    EpisodeRows rows(plan, clock, anchors[b]);
    const WindowMarks here{next(marks.is_pad, b), next(marks.valid, b), next(marks.age_ns, b)};
    if (!rows.place(anchors[b], next(steps, b), here) && !refused) refused = b;
  }
  return refused;
}

}  // namespace robocache
