#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <robocache/align.hpp>
#include <robocache/context.hpp>
#include <robocache/store.hpp>

namespace robocache {

struct Anchor;
struct PlanStep;
struct WindowMarks;

/// How far an offset of a window on samples may be from one and still name it: LeRobot's own tolerance in s, and never
/// more than a part of the time between two samples.
inline constexpr double kSampleTolerance_s = 1e-4;
inline constexpr double kSampleTolerance = 0.1;

/// What a batch takes of one stream: K rows around a sample's own time (the anchor).
///
/// Where stream and anchors have one rate, and the stream begins at one of its samples, offsets count these, and no rounded
/// nanosecond decides which ones are meant: o * rate, rounded half to even if it is that (on_samples: to these tolerances), is a sample;
/// any other row is between two, with the weight that o * rate has behind its point. On other clocks offsets are times: the
/// anchor's stamp + round(o * 1e9) ns, aligned as `align` does; if both have a rate, to 2 ns. An offset of 0 on the anchors'
/// own clock is the anchor.
struct Window {
  std::string stream;
  std::vector<double> offsets_s = {};  ///< K of them, in any order
  std::int64_t last = 0;               ///< more than 0: instead of offsets the last K samples at or before the anchor
  bool on_samples = false;             ///< an offset between two samples of a fixed rate is an error
  /// automatic: the samples as they are where all rows are samples; else linear for floats, hold for the others.
  Interp interp = Interp::automatic;
  Outside before = {}, after = {};
  std::int64_t max_gap_ns = kNoLimit, max_age_ns = kNoLimit;
  QuaternionOrder quaternion = QuaternionOrder::xyzw;
  std::vector<float> scale = {}, bias = {};  ///< [D], or none: stored = value * scale + bias
  std::optional<DType> dtype = {};           ///< a float type; none: the stream's own
};

/// Reads batches of windows from a store. What is drawn are the samples of one clock, the anchors, numbered episode after
/// episode. Immutable; safe to read from several threads.
class Windows {
 public:
  /// What is read of one window.
  ///   values  [B, K, D]   dtype(); written
  ///   is_pad  [B, K] bool, or not given   the target is outside the stream's samples in the episode
  ///   valid   [B, K] bool, or not given   as in align
  ///   age_ns  [B, K] i64, or not given    as in align; of the last samples the anchor's stamp minus theirs
  struct Result {
    Tensor values;
    Tensor is_pad{}, valid{}, age_ns{};
  };
  /// What is read of the anchors.
  ///   episode_index  [B] i64, or not given   the dataset's own number of the episode
  ///   stamps_ns      [B] i64, or not given
  struct Anchors {
    Tensor episode_index{}, stamps_ns{};
  };

  /// `anchor`: the stream whose samples are the anchors; empty: that of the first window.
  /// Throws InvalidArgument (no window, a stream that is not there, offsets, scale or bias that do not fit), Unsupported
  /// (interpolation or scale of a dtype that has none).
  Windows(std::shared_ptr<const Store> store, std::vector<Window> windows, std::string_view anchor = {});

  [[nodiscard]] const Store& store() const { return *store_; }
  /// Anchors of all episodes.
  [[nodiscard]] std::int64_t samples() const { return samples_; }
  /// How many windows there are.
  [[nodiscard]] std::size_t size() const { return plans_.size(); }
  [[nodiscard]] const Window& window(std::size_t w) const { return plans_[w].window; }
  [[nodiscard]] const Store::Column& column(std::size_t w) const { return store_->columns()[plans_[w].column]; }
  /// K
  [[nodiscard]] std::int64_t rows(std::size_t w) const { return static_cast<std::int64_t>(plans_[w].targets.size()); }
  [[nodiscard]] DType dtype(std::size_t w) const;
  /// Whether every row is a sample by its number.
  [[nodiscard]] bool takes_samples(std::size_t w) const { return plans_[w].takes_samples; }

  /// Reads all windows of some anchors, each 0 to samples() - 1; results[w] is of window w.
  /// Throws InvalidArgument (an anchor that is not there, shape, dtype, device, a target that `outside` refuses).
  void read(std::span<const std::int64_t> samples, std::span<const Result> results, const Anchors& anchors,
            const Context& ctx = {}) const;

  /// A row of a window.
  struct Target {
    std::int64_t time_ns = 0;  ///< behind the anchor
    std::int64_t samples = 0;  ///< the same in samples of the anchors' clock, rounded down
    double weight = 0;         ///< and what is left
    bool is_sample = false;    ///< it is exactly that
    friend bool operator==(const Target&, const Target&) = default;
  };
  /// A window and how its rows are found.
  struct Plan {
    Window window;
    std::size_t column = 0;
    std::vector<Target> targets = {};
    Interp interp = Interp::automatic;
    double rate_hz = 0;          ///< of stream and anchors, where that is one
    bool counted = false;        ///< there is one: Target::samples counts
    bool same_clock = false;     ///< stream and anchors have one clock
    std::int64_t slack_ns = 0;   ///< to which stamps of stream and anchors are rounded
    bool takes_samples = false;  ///< all targets are samples
    bool is_run = false;         ///< they are one behind the other, and taken as they are
    std::size_t like = 0;        ///< the first window whose rows are the same, which may be itself
  };

 private:
  void plan(std::size_t w);
  void place(std::size_t w, std::span<const Anchor> anchors, PlanStep* steps, const WindowMarks& marks) const;
  void apply(std::size_t w, const ConstTensor& steps, const ConstTensor& episodes, const Tensor& out,
             const Context& ctx) const;

  std::shared_ptr<const Store> store_;
  std::vector<Plan> plans_;
  std::size_t anchor_clock_ = 0;
  std::int64_t samples_ = 0;
};

}  // namespace robocache
