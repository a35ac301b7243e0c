#include "robocache/windows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include "core/check.hpp"
#include "engine/window_rows.hpp"
#include "ops/align_inputs.hpp"

namespace robocache {

namespace {

constexpr const char* kOp = "Windows";
constexpr Check kCheck{kOp};
constexpr double kNsPerS = 1e9;
constexpr std::int64_t kRounded_ns = 2;  ///< two stamps, 1 ns each
constexpr double kSame = 1e-6;           ///< of a sample: what is left of k / hz * rate by rounding
constexpr double kMostSeconds = 9.2e9;
constexpr double kMostSamples = 4e18;  // and an anchor's own number do not overflow
constexpr std::int64_t kMostRows = std::int64_t{1} << 24;

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// Of an error: windows['observation.state'].offsets_s
Subject subject(std::size_t w, const Window& window, const char* member) {
  return {"windows", w, window.stream, member};
}

std::size_t find_stream(const Store& store, const Subject& subject, std::string_view name) {
  const auto columns = store.columns();
  const auto found =
      std::ranges::find(columns, name, [](const Store::Column& c) -> std::string_view { return c.stream.name; });
  if (found != columns.end()) return static_cast<std::size_t>(found - columns.begin());
  std::string names;
  for (const Store::Column& c : columns) names += (names.empty() ? "" : ", ") + c.stream.name;
  kCheck.fail(subject, "'" + std::string(name) + "'", "a stream of the store: " + names);
}

/// `values` of a stream's columns, or not given.
ConstTensor factors(const std::vector<float>& values) {
  if (values.empty()) return {};
  return {values.data(), DType::f32, {static_cast<std::int64_t>(values.size())}};
}

bool same_policy(const Outside& a, const Outside& b) {
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };  // NaN is itself
  return a.policy == b.policy && (a.policy != Outside::Policy::fill || bits(a.value) == bits(b.value));
}

/// Whether two windows of streams with the same clock have the same rows.
bool same_rows(const Windows::Plan& a, const Windows::Plan& b) {
  return a.interp == b.interp && a.window.last == b.window.last && a.window.max_gap_ns == b.window.max_gap_ns &&
         a.window.max_age_ns == b.window.max_age_ns && same_policy(a.window.before, b.window.before) &&
         same_policy(a.window.after, b.window.after) && a.targets == b.targets;
}

/// Whether the rows of a window are samples one behind the other that nothing changes.
bool is_run(const Windows::Plan& plan, const Store::Column& column, DType dtype) {
  constexpr Interp kChanging[] = {Interp::slerp, Interp::se3, Interp::screw, Interp::angle};
  const Window& window = plan.window;
  const auto holds = [](const Outside& outside) { return outside.policy == Outside::Policy::hold; };
  const auto breaks = [](const Windows::Target& a, const Windows::Target& b) { return b.samples != a.samples + 1; };
  return plan.same_clock && plan.takes_samples && !plan.targets.empty() && window.last == 0 && window.scale.empty() &&
         window.bias.empty() && dtype == column.stream.dtype && holds(window.before) && holds(window.after) &&
         std::ranges::find(kChanging, plan.interp) == std::end(kChanging) &&
         std::ranges::adjacent_find(plan.targets, breaks) == plan.targets.end();
}

}  // namespace

Windows::Windows(std::shared_ptr<const Store> store, std::vector<Window> windows, std::string_view anchor)
    : store_(std::move(store)) {
  if (store_ == nullptr) kCheck.fail("store", "null", "a store");
  if (windows.empty()) kCheck.fail("windows", "empty", "at least one");
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const std::size_t column = find_stream(*store_, subject(w, windows[w], "stream"), windows[w].stream);
    plans_.push_back({.window = std::move(windows[w]), .column = column});
  }
  const std::size_t from = anchor.empty() ? plans_.front().column : find_stream(*store_, "anchor", anchor);
  anchor_clock_ = static_cast<std::size_t>(store_->columns()[from].clock);
  samples_ = ClockView(store_->clocks()[anchor_clock_]).samples();
  for (std::size_t w = 0; w < size(); ++w) plan(w);
}

DType Windows::dtype(std::size_t w) const { return window(w).dtype.value_or(column(w).stream.dtype); }

void Windows::plan(std::size_t w) {
  Plan& plan = plans_[w];
  const Window& window = plan.window;
  const double rate = store_->clocks()[anchor_clock_].rate_hz;
  const double own_rate = store_->clocks()[static_cast<std::size_t>(column(w).clock)].rate_hz;
  plan.same_clock = static_cast<std::size_t>(column(w).clock) == anchor_clock_;
  plan.counted = rate > 0 && own_rate == rate;
  plan.rate_hz = plan.counted ? rate : 0;
  plan.slack_ns = rate > 0 && own_rate > 0 ? kRounded_ns : 0;
  plan.interp = window.interp;
  if (plan.interp == Interp::automatic) plan.interp = is_float(column(w).stream.dtype) ? Interp::linear : Interp::hold;
  if (!is_float(dtype(w)) && dtype(w) != column(w).stream.dtype) {
    kCheck.unsupported(subject(w, window, "dtype"), name(dtype(w)), "a float dtype");
  }
  if (window.last < 0 || window.last > kMostRows) {
    kCheck.fail(subject(w, window, "last"), std::to_string(window.last), "0 to " + std::to_string(kMostRows));
  }
  if (window.last > 0 && !window.offsets_s.empty()) {
    kCheck.fail(subject(w, window, "last"), "given beside offsets_s", "one of the two");
  }
  plan.targets.resize(window.last > 0 ? static_cast<std::size_t>(window.last) : window.offsets_s.size());
  plan.takes_samples = plan.same_clock || window.last > 0;
  for (std::size_t k = 0; k < window.offsets_s.size(); ++k) {
    const double offset = window.offsets_s[k];
    if (!(std::abs(offset) < kMostSeconds)) {
      kCheck.fail(subject(w, window, "offsets_s"), text_of(offset), "s, less than 292 years of them");
    }
    Target& target = plan.targets[k];
    target.time_ns = std::llrint(offset * kNsPerS);
    target.is_sample = plan.same_clock && offset == 0;
    if (!plan.counted) {
      plan.takes_samples = plan.takes_samples && target.is_sample;
      continue;
    }
    const double samples = std::nearbyint(offset * rate);
    const double tolerance = window.on_samples ? std::min(kSampleTolerance_s * rate, kSampleTolerance) : kSame;
    target.is_sample = std::abs(offset * rate - samples) <= tolerance;
    const double whole = target.is_sample ? samples : std::floor(offset * rate);
    target.samples = static_cast<std::int64_t>(std::clamp(whole, -kMostSamples, kMostSamples));
    target.weight = target.is_sample ? 0 : offset * rate - whole;
    plan.takes_samples = plan.takes_samples && target.is_sample;
    if (target.is_sample || !window.on_samples) continue;
    kCheck.fail(subject(w, window, "offsets_s"), text_of(offset),
                "a multiple of 1 / " + text_of(rate) + " s, to 1e-4 s",
                "say which interpolation is meant to have rows between samples");
  }
  plan.is_run = is_run(plan, column(w), dtype(w));
  plan.like = 0;
  while (plan.like < w && !(column(plan.like).clock == column(w).clock && same_rows(plans_[plan.like], plan)))
    ++plan.like;
  // Without anchors: says what is wrong with interpolation, dtype and factors.
  const ConstTensor none(nullptr, DType::i64, {0});
  apply(w, {nullptr, DType::i64, {1, 0, rows(w), 4}}, none,
        {nullptr, dtype(w), {0, rows(w), column(w).values.shape[1]}}, {});
}

void Windows::apply(std::size_t w, const ConstTensor& steps, const ConstTensor& episodes, const Tensor& out,
                    const Context& ctx) const {
  const Stream stream{.values = column(w).values,
                      .interp = plans_[w].interp,
                      .offsets = store_->clocks()[static_cast<std::size_t>(column(w).clock)].offsets,
                      .rows = episodes,
                      .scale = factors(window(w).scale),
                      .bias = factors(window(w).bias),
                      .quaternion = window(w).quaternion,
                      .name = window(w).stream};
  AlignInputs in(kOp, "windows", DataCheck::off);
  in.read_values(stream, steps);
  in.write_outputs({&out, 1});
  run_align(kOp, in, {&stream, 1}, DataCheck::off, ctx);
}

}  // namespace robocache
