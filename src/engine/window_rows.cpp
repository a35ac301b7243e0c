#include "engine/window_rows.hpp"

#include <algorithm>

#include "math/unit.hpp"

namespace robocache {

namespace {

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
        slack_ns_(clock.rounded ? 1 : 0),
        options_{plan.interp, plan.window.before, plan.window.after, plan.window.max_gap_ns, plan.window.max_age_ns} {}

  /// Writes row after row; false where one is refused.
  bool place(const Anchor& anchor, PlanStep* steps, const WindowMarks& marks) {
    bool accepted = true;
    if (plan_.window.last > 0) found_ = last_at_or_before(anchor.stamp_ns);
    for (std::size_t k = 0; k < plan_.targets.size(); ++k) {
      if (const std::int64_t i = anchor.sample + plan_.targets[k].samples; plan_.targets[k].is_sample && is_here(i)) {
        steps[k] = {i, 0, 0, 0};
        marks.set(k, false, true, 0);
        continue;
      }
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

  static Placement sample(std::int64_t index, std::int64_t age_ns) {
    Placement p;
    p.store = Placement::Store::copy;
    p.index = index;
    p.age_ns = age_ns;
    p.valid = true;
    return p;
  }

  [[nodiscard]] bool is_here(std::int64_t i) const { return i >= 0 && i < count_; }

  /// A row that is no sample of the episode by its number.
  [[nodiscard]] Row placed(const Anchor& anchor, const Windows::Target& target) {
    const std::int64_t guess = plan_.counted ? anchor.sample + target.samples : -1;
    const std::int64_t t = Clock<std::int64_t>::sum(anchor.stamp_ns, target.time_ns);
    // A sample's number says on which side of the episode a row is, where its stamp may be rounded to the other one.
    const bool outside = target.is_sample;
    const std::int64_t i = outside ? (guess < 0 ? -1 : count_ - 1) : last_at_or_before(t, guess);
    const AllSamples<std::int64_t, EpisodeStamps> all{stamps_, count_};
    const bool is_pad = outside || count_ == 0 || Clock<std::int64_t>::sum(t, slack_ns_) < stamps_(0) ||
                        t > Clock<std::int64_t>::sum(stamps_(count_ - 1), slack_ns_);
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
  std::int64_t slack_ns_;
  PlaceOptions options_;
  std::int64_t found_ = -1;
};

}  // namespace

Anchor anchor_of(const ClockView& clock, std::int64_t number) {
  const std::int64_t* const after = std::upper_bound(clock.offsets, clock.offsets + clock.episodes + 1, number);
  const std::int64_t episode = after - clock.offsets - 1;
  return {episode, number - clock.offsets[episode], clock.stamps[number]};
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
