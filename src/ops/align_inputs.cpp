#include "ops/align_inputs.hpp"

#include <algorithm>

#include "math/unit.hpp"

namespace robocache {

namespace {

const char* const kStampHint = "stamps and targets of one call share a dtype: int64 ns, float64 s or float32 s";
constexpr std::size_t kMostRuns = 64;  ///< of a stream: they go into one launch

std::string_view name_of(Interp interp) {
  constexpr std::string_view names[] = {"automatic", "hold",  "nearest", "linear", "slerp",
                                        "se3",       "screw", "pchip",   "angle"};
  return names[static_cast<std::size_t>(interp)];
}

}  // namespace

TimeClasses::TimeClasses(const Stream& stream) {
  const auto add = [&](Interp interp) {
    const bool held = interp == Interp::automatic && stream.values.given() && !is_float(stream.values.dtype);
    has_[number(held ? Interp::hold : interp)] = true;
  };
  if (stream.runs.empty()) add(stream.interp);
  for (const ColumnRun& run : stream.runs) add(run.interp);
}

std::string AlignInputs::prefix(std::size_t i, const Stream& stream) const {
  if (list_ == nullptr) return {};
  std::string text = subject(i, stream, "").text() + ".";
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::span<AlignStream> AlignInputs::runs_of(std::size_t i) {
  const std::size_t end = i + 1 < first_entry_.size() ? first_entry_[i + 1] : entries_.size();
  return std::span(entries_).subspan(first_entry_[i], end - first_entry_[i]);
}

const AlignArgs& AlignInputs::args() {
  args_.streams = entries_;
  args_.time = time_;
  args_.batch = batch_.value;
  args_.targets = targets_.value;
  return args_;
}

IndexList AlignInputs::index_list(const Subject& subject, const ConstTensor& list) const {
  if (!list.given()) return {};
  check_.dtype(subject, list, AlignIndices{});
  check_.device(subject, list, device_);
  return {list.data, list.strides[0], list.dtype == DType::i64};
}

const float* AlignInputs::column_factors(const Subject& subject, const ConstTensor& list, Dim& columns) const {
  if (!list.given()) return nullptr;
  check_.shape(subject, list, {&columns});
  check_.dtype(subject, list, DType::f32);
  check_.device(subject, list, device_);
  if (list.strides[0] != 1 && list.shape[0] > 1) check_.fail(subject, "strided", "contiguous");
  return static_cast<const float*>(list.data);
}

void AlignInputs::read_targets(const Targets& targets) {
  const ConstTensor& at = targets.at;
  device_ = at.device;
  time_ = at.dtype;
  check_.dtype("at", at, AlignTimes{});
  if (at.rank == 1) {
    check_.shape("at", at, {&targets_});
  } else {
    check_.shape("at", at, {&batch_, &targets_});
    args_.at_batch = at.strides[0];
  }
  args_.at = at.data;
  args_.at_row = at.strides[at.rank - 1];
  if (!targets.origin.given()) return;
  check_.shape("origin", targets.origin, {&batch_});
  check_.dtype("origin", targets.origin, at.dtype);
  check_.device("origin", targets.origin, device_);
  args_.origin = targets.origin.data;
  args_.origin_row = targets.origin.strides[0];
}

/// Binds G and the name of the samples' dimension, and says where a batch row finds its segment.
void AlignInputs::segments(std::size_t i, const Stream& stream, AlignStream& s) {
  const bool packed = stream.offsets.given();
  segments_ = {"G"};
  samples_ = {packed ? "N" : "S"};
  if (packed) {
    if (stream.lengths.given()) {
      check_.fail(subject(i, stream, "lengths"), "given beside offsets", "one of the two");
    }
    const Subject offsets = subject(i, stream, "offsets");
    if (stream.offsets.rank != 1 || stream.offsets.shape[0] < 1) {
      check_.fail(offsets, shape_text(stream.offsets), "[G+1]");
    }
    segments_.value = stream.offsets.shape[0] - 1;
    s.offsets = index_list(offsets, stream.offsets);
  } else if (!stream.rows.given()) {
    segments_ = {"B", batch_.value};
  }
  if (stream.lengths.given()) {
    check_.shape(subject(i, stream, "lengths"), stream.lengths, {&segments_});
    s.lengths = index_list(subject(i, stream, "lengths"), stream.lengths);
  }
  if (stream.rows.given()) {
    check_.shape(subject(i, stream, "rows"), stream.rows, {&batch_});
    s.rows = index_list(subject(i, stream, "rows"), stream.rows);
  }
}

void AlignInputs::values(std::size_t i, const Stream& stream, AlignStream& s) {
  const Subject values = subject(i, stream, "values");
  check_.device(values, stream.values, device_);
  columns_ = {"D"};
  if (stream.offsets.given()) {
    check_.shape(values, stream.values, {&samples_, &columns_});
  } else {
    check_.shape(values, stream.values, {&segments_, &samples_, &columns_});
    s.value_batch = stream.values.strides[0];
  }
  const int rank = stream.values.rank;
  s.value_row = stream.values.strides[rank - 2];
  s.value_column = columns_.value > 1 ? stream.values.strides[rank - 1] : 1;
  s.values = stream.values.data;
  s.dtype = stream.values.dtype;
  s.columns = columns_.value;
  s.scale = column_factors(subject(i, stream, "scale"), stream.scale, columns_);
  s.bias = column_factors(subject(i, stream, "bias"), stream.bias, columns_);
}

void AlignInputs::stamps(std::size_t i, const Stream& stream, AlignStream& s) {
  const Subject stamps = subject(i, stream, "stamps");
  check_.device(stamps, stream.stamps, device_);
  check_.dtype(stamps, stream.stamps, AlignTimes{});
  if (stream.stamps.dtype != time_) {
    check_.fail(stamps, name(stream.stamps.dtype), std::string(name(time_)) + " like at", kStampHint);
  }
  if (stream.stamps.rank == 1 || stream.offsets.given()) {
    check_.shape(stamps, stream.stamps, {&samples_});
  } else {
    check_.shape(stamps, stream.stamps, {&segments_, &samples_});
    s.stamp_batch = stream.stamps.strides[0];
  }
  s.stamp_row = stream.stamps.strides[stream.stamps.rank - 1];
  s.stamps = stream.stamps.data;
}

void AlignInputs::mask(std::size_t i, const Stream& stream, AlignStream& s) {
  s.missing = is_float(s.dtype) || stream.mask.given() ? stream.missing : Missing::propagate;
  if (!stream.mask.given()) return;
  const Subject mask = subject(i, stream, "mask");
  check_.dtype(mask, stream.mask, DType::boolean);
  check_.device(mask, stream.mask, device_);
  if (stream.mask.rank == 1 || stream.offsets.given()) {
    check_.shape(mask, stream.mask, {&samples_});
  } else {
    check_.shape(mask, stream.mask, {&segments_, &samples_});
    s.mask_batch = stream.mask.strides[0];
  }
  s.mask_row = stream.mask.strides[stream.mask.rank - 1];
  s.mask = static_cast<const bool*>(stream.mask.data);
}

void AlignInputs::limits(std::size_t i, const Stream& stream, AlignStream& s) const {
  if (stream.max_gap_ns < 0) {
    check_.fail(subject(i, stream, "max_gap_ns"), std::to_string(stream.max_gap_ns), ">= 0");
  }
  if (stream.max_age_ns < 0) {
    check_.fail(subject(i, stream, "max_age_ns"), std::to_string(stream.max_age_ns), ">= 0");
  }
  s.place = {Interp::hold, stream.before, stream.after, stream.max_gap_ns, stream.max_age_ns};
  s.offset_ns = stream.offset_ns;
  s.quaternion = stream.quaternion;
}

Interp AlignInputs::resolved(std::size_t i, const Stream& stream, Interp interp, std::int64_t columns) const {
  const bool floats = !stream.values.given() || is_float(stream.values.dtype);
  if (interp == Interp::automatic) interp = floats ? Interp::linear : Interp::hold;
  if (!floats && is_curve(interp)) {
    check_.unsupported(subject(i, stream, "interp"), name_of(interp),
                       "hold or nearest for " + std::string(name(stream.values.dtype)) + " values",
                       "cast the values to a float dtype to blend them");
  }
  const int unit = unit_columns(interp);
  if (columns % unit != 0) {
    const std::string multiple =
        "a multiple of " + std::to_string(unit) + " columns for " + std::string(name_of(interp));
    const char* const hint =
        unit == 4 ? "a quaternion is four columns" : "a pose is three columns of position and four of quaternion";
    if (stream.runs.empty()) check_.fail(subject(i, stream, "values"), shape_text(stream.values), multiple, hint);
    check_.fail(subject(i, stream, "interp"), std::to_string(columns) + " columns of " + std::string(name_of(interp)),
                multiple, hint);
  }
  return interp;
}

void AlignInputs::add_run(std::size_t i, const Stream& stream, const AlignStream& s, Interp interp, std::int64_t first,
                          std::int64_t columns) {
  interp = resolved(i, stream, interp, columns);
  const std::span<AlignStream> before = runs_of(i);
  if (!before.empty() && before.back().place.interp == interp) {
    before.back().columns += columns;
    return;
  }
  AlignStream& run = entries_.emplace_back(s);
  run.continues = !before.empty();
  run.columns = columns;
  run.place.interp = interp;
  run.values =
      static_cast<const std::byte*>(s.values) + first * s.value_column * static_cast<std::int64_t>(size_of(s.dtype));
  if (s.scale != nullptr) run.scale += first;
  if (s.bias != nullptr) run.bias += first;
}

void AlignInputs::add_runs(std::size_t i, const Stream& stream, const AlignStream& s) {
  if (stream.runs.empty()) return add_run(i, stream, s, stream.interp, 0, s.columns);
  const Subject interp = subject(i, stream, "interp");
  if (stream.interp != Interp::automatic) check_.fail(interp, "given beside runs", "one of the two");
  std::int64_t all = 0;
  for (const ColumnRun& run : stream.runs) {
    const std::string got = std::to_string(run.columns) + " columns of " + std::string(name_of(run.interp));
    const bool too_many = __builtin_add_overflow(all, run.columns, &all);
    if (run.columns < 1 || too_many) check_.fail(interp, got, "1 to D in each run");
  }
  std::int64_t first = 0;
  for (const ColumnRun& run : stream.runs) {
    if (run.columns > s.columns - first) break;
    add_run(i, stream, s, run.interp, first, run.columns);
    first += run.columns;
  }
  if (stream.values.given() && all != s.columns) {
    check_.fail(interp, "runs of together " + std::to_string(all) + " columns", "D=" + std::to_string(s.columns));
  }
  if (runs_of(i).size() > kMostRuns) {
    check_.fail(interp, std::to_string(runs_of(i).size()) + " runs of columns", "at most " + std::to_string(kMostRuns));
  }
}

void AlignInputs::read_stream(std::size_t i, const Stream& stream) {
  AlignStream s;
  s.number = static_cast<std::uint32_t>(i);
  first_entry_.push_back(entries_.size());
  segments(i, stream, s);
  if (stream.values.given()) values(i, stream, s);
  if (stream.stamps.given()) stamps(i, stream, s);
  mask(i, stream, s);
  limits(i, stream, s);
  if (!stream.rows.given()) {
    if (batch_.value < 0) batch_.value = segments_.value;
    if (segments_.value < 0) segments_.value = batch_.value;
    if (batch_.value != segments_.value) {
      check_.fail(subject(i, stream, "offsets"), std::to_string(segments_.value) + " segments",
                  "B=" + std::to_string(batch_.value));
    }
  }
  s.samples = samples_.value;
  // A plan's shared clock is the same in every segment, however many of them the values will have.
  s.segments = segments_.value < 0 ? std::numeric_limits<std::int64_t>::max() : segments_.value;
  add_runs(i, stream, s);
}

void AlignInputs::read_streams(std::span<const Stream> streams) {
  if (streams.empty()) check_.fail("streams", "empty", "at least one stream");
  entries_.reserve(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (!streams[i].values.given()) check_.fail(subject(i, streams[i], "values"), "not given", "[B, S, D]");
    if (!streams[i].stamps.given()) check_.fail(subject(i, streams[i], "stamps"), "not given", "[B, S]");
    read_stream(i, streams[i]);
  }
}

void AlignInputs::no_mask(const Stream& stream) const {
  const char* const why = "missing samples belong to values, and a plan knows none";
  if (stream.mask.given()) check_.fail(subject(0, stream, "mask"), "given", "no mask", why);
  if (stream.missing != Missing::propagate) check_.fail(subject(0, stream, "missing"), "given", "propagate", why);
}

/// Returns how many steps each plane has; `shared`: the batch may have stride 0.
std::int64_t AlignInputs::bind_steps(const ConstTensor& steps, std::size_t classes, bool shared) {
  check_.shape("steps", steps, {static_cast<std::int64_t>(classes), &batch_, &targets_, 4});
  check_.dtype("steps", steps, DType::i64);
  check_.device("steps", steps, device_);
  const bool rows = steps.strides[3] == 1 && (steps.shape[2] < 2 || steps.strides[2] == 4);
  const std::int64_t plane = steps.shape[2] * 4 * (shared && steps.strides[1] == 0 ? 1 : steps.shape[1]);
  const bool batch = steps.shape[1] < 2 || steps.strides[1] == steps.shape[2] * 4 || (shared && steps.strides[1] == 0);
  if (!rows || !batch || (steps.shape[0] > 1 && steps.strides[0] != plane)) {
    check_.fail("steps", "strided", "contiguous");
  }
  return plane / 4;
}

void AlignInputs::read_clock(const Stream& stream, const Tensor& steps) {
  no_mask(stream);
  if (!stream.stamps.given()) check_.fail(subject(0, stream, "stamps"), "not given", "[B, S]");
  const TimeClasses classes(stream);
  const std::int64_t plane = bind_steps(steps, classes.count(), false);
  Stream clock = stream;
  clock.values = {};
  clock.runs = {};
  clock.interp = Interp::hold;
  read_stream(0, clock);
  const AlignStream first = entries_.front();
  entries_.assign(classes.count(), first);
  for (Interp interp : {Interp::hold, Interp::nearest, Interp::linear}) {
    if (!classes.has(interp)) continue;
    const std::size_t k = classes.index(interp);
    entries_[k].place.interp = interp;
    entries_[k].continues = k > 0;
    entries_[k].write_steps = static_cast<PlanStep*>(steps.data) + static_cast<std::int64_t>(k) * plane;
  }
}

void AlignInputs::read_values(const Stream& stream, const ConstTensor& steps) {
  no_mask(stream);
  device_ = steps.device;
  const TimeClasses classes(stream);
  const std::int64_t plane = bind_steps(steps, classes.count(), true);
  if (!stream.values.given()) check_.fail(subject(0, stream, "values"), "not given", "[B, S, D]");
  Stream bare = stream;
  bare.stamps = {};
  read_stream(0, bare);
  for (AlignStream& run : entries_) {
    const std::size_t k = classes.index(run.place.interp);
    run.read_steps = static_cast<const PlanStep*>(steps.data) + static_cast<std::int64_t>(k) * plane;
    run.steps_batch = steps.strides[1] / 4;
  }
}

/// Points a run at `columns` columns of `out` from column `first` on.
void AlignInputs::write_to(const Subject& subject, const Tensor& out, Dim* columns, std::int64_t first,
                           AlignStream& s) {
  check_.shape(subject, out, {&batch_, &targets_, columns});
  check_.device(subject, out, device_);
  if (columns->value > 1 && out.strides[2] != 1) check_.fail(subject, "strided in its columns", "contiguous columns");
  if (out.dtype != s.dtype && !is_float(out.dtype)) {
    check_.unsupported(subject, name(out.dtype), std::string(name(s.dtype)) + " (as the values) or a float dtype");
  }
  if ((s.scale != nullptr || s.bias != nullptr) && !is_float(out.dtype)) {
    check_.fail(subject, name(out.dtype), "a float dtype where scale or bias is given");
  }
  s.out = static_cast<std::byte*>(out.data) + first * static_cast<std::int64_t>(size_of(out.dtype));
  s.out_batch = out.strides[0];
  s.out_row = out.strides[1];
  s.out_dtype = out.dtype;
}

void AlignInputs::write_outputs(std::span<const Tensor> out) {
  Dim all{"sum D", 0};
  for (const AlignStream& s : entries_) all.value += s.columns;
  if (out.size() == 1) {
    std::int64_t first = 0;
    for (AlignStream& s : entries_) {
      write_to("out", out[0], &all, first, s);
      first += s.columns;
    }
    return;
  }
  if (out.size() != streams()) {
    check_.fail("out", std::to_string(out.size()) + " tensors",
                "1, or one for each of the " + std::to_string(streams()) + " streams");
  }
  for (std::size_t i = 0; i < streams(); ++i) {
    Dim columns{"D", 0};
    for (const AlignStream& s : runs_of(i)) columns.value += s.columns;
    std::int64_t first = 0;
    for (AlignStream& s : runs_of(i)) {
      write_to({"out", i, {}, ""}, out[i], &columns, first, s);
      first += s.columns;
    }
  }
}

void AlignInputs::write_marks(const Tensor& valid, const Tensor& age_ns) {
  const auto count = static_cast<std::int64_t>(streams());
  if (valid.given()) {
    check_.shape("valid", valid, {&batch_, &targets_, count});
    check_.dtype("valid", valid, DType::boolean);
    check_.device("valid", valid, device_);
    args_.valid = static_cast<bool*>(valid.data);
    args_.valid_batch = valid.strides[0];
    args_.valid_row = valid.strides[1];
    args_.valid_stream = valid.strides[2];
  }
  if (age_ns.given()) {
    check_.shape("age_ns", age_ns, {&batch_, &targets_, count});
    check_.dtype("age_ns", age_ns, DType::i64);
    check_.device("age_ns", age_ns, device_);
    args_.age_ns = static_cast<std::int64_t*>(age_ns.data);
    args_.age_batch = age_ns.strides[0];
    args_.age_row = age_ns.strides[1];
    args_.age_stream = age_ns.strides[2];
  }
}

}  // namespace robocache
