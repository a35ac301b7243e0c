#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "engine/window_rows.hpp"
#include "memory/buffer.hpp"
#include "robocache/windows.hpp"

// A batch: where its rows are, then align's apply. Windows that have the same rows are placed once.
namespace robocache {

namespace {

constexpr Check kCheck{"Windows"};

void check_array(const Subject& subject, const Tensor& array, DType dtype, std::initializer_list<Check::Extent> shape) {
  if (!array.given()) return;
  kCheck.shape(subject, array, shape);
  kCheck.dtype(subject, array, dtype);
  kCheck.device(subject, array, {});
  std::int64_t stride = 1;
  for (int i = array.rank - 1; i >= 0; stride *= array.shape[i--]) {
    if (array.shape[i] > 1 && array.strides[i] != stride) kCheck.fail(subject, "strided", "contiguous");
  }
}

WindowMarks marks_of(std::size_t w, const Window& window, const Windows::Result& result, std::int64_t batch,
                     std::int64_t rows) {
  const auto check = [&](const char* member, const Tensor& mark, DType dtype) {
    check_array({"results", w, window.stream, member}, mark, dtype, {batch, rows});
  };
  check("is_pad", result.is_pad, DType::boolean);
  check("valid", result.valid, DType::boolean);
  check("age_ns", result.age_ns, DType::i64);
  return {static_cast<bool*>(result.is_pad.data), static_cast<bool*>(result.valid.data),
          static_cast<std::int64_t*>(result.age_ns.data)};
}

/// Marks of one window for another that has the same rows; false where those are not there.
bool copy_marks(const WindowMarks& from, const WindowMarks& to, std::size_t count) {
  const auto lacks = [](const void* source, const void* target) { return target != nullptr && source == nullptr; };
  if (lacks(from.is_pad, to.is_pad) || lacks(from.valid, to.valid) || lacks(from.age_ns, to.age_ns)) return false;
  if (to.is_pad != nullptr) std::memcpy(to.is_pad, from.is_pad, count * sizeof(bool));
  if (to.valid != nullptr) std::memcpy(to.valid, from.valid, count * sizeof(bool));
  if (to.age_ns != nullptr) std::memcpy(to.age_ns, from.age_ns, count * sizeof(std::int64_t));
  return true;
}

/// Where the rows of windows that are alike were found.
struct Placed {
  Buffer memory;
  WindowMarks marks;
  bool made = false;

  Placed() = default;
  Placed(MemoryResource& resource, std::size_t rows) : memory(resource, rows * sizeof(PlanStep)), made(true) {}
  [[nodiscard]] PlanStep* steps() const { return static_cast<PlanStep*>(memory.data()); }
};

/// Whether a result is one block of memory of this shape, and only wants is_pad beside it.
bool is_bare(const Windows::Result& result, std::initializer_list<std::int64_t> shape, DType dtype) {
  const Tensor& values = result.values;
  const Tensor want(nullptr, dtype, shape);
  return !result.valid.given() && !result.age_ns.given() && values.dtype == dtype && values.device == Device{} &&
         values.rank == want.rank && std::ranges::equal(values.sizes(), want.sizes()) &&
         std::equal(values.strides, values.strides + values.rank, want.strides);
}

std::vector<Anchor> find_anchors(const ClockView& clock, std::span<const std::int64_t> samples) {
  std::vector<Anchor> anchors;
  anchors.reserve(samples.size());
  for (const std::int64_t sample : samples) {
    if (sample < 0 || sample >= clock.samples()) {
      kCheck.fail("samples", std::to_string(sample), "0 to " + std::to_string(clock.samples() - 1));
    }
    anchors.push_back(anchor_of(clock, sample));
  }
  return anchors;
}

void write_anchors(const Store& store, std::span<const Anchor> found, const Windows::Anchors& out) {
  const auto batch = static_cast<std::int64_t>(found.size());
  check_array("anchors.episode_index", out.episode_index, DType::i64, {batch});
  check_array("anchors.stamps_ns", out.stamps_ns, DType::i64, {batch});
  auto* const episodes = static_cast<std::int64_t*>(out.episode_index.data);
  auto* const stamps = static_cast<std::int64_t*>(out.stamps_ns.data);
  for (std::size_t b = 0; b < found.size(); ++b) {
    if (episodes != nullptr) episodes[b] = store.episode_index()[static_cast<std::size_t>(found[b].episode)];
    if (stamps != nullptr) stamps[b] = found[b].stamp_ns;
  }
}

}  // namespace

void Windows::place(std::size_t w, std::span<const Anchor> anchors, PlanStep* steps, const WindowMarks& marks) const {
  const ClockView clock(store_->clocks()[static_cast<std::size_t>(column(w).clock)]);
  const auto refused = place_windows(plans_[w], clock, anchors, steps, marks);
  if (!refused) return;
  const std::int64_t episode = store_->episode_index()[static_cast<std::size_t>(anchors[*refused].episode)];
  kCheck.fail({"windows", w, window(w).stream, "offsets_s"},
              "outside of the samples of episode " + std::to_string(episode), "inside, as `outside` says error");
}

void Windows::read(std::span<const std::int64_t> samples, std::span<const Result> results, const Anchors& anchors,
                   const Context& ctx) const {
  const auto batch = static_cast<std::int64_t>(samples.size());
  if (results.size() != size()) {
    kCheck.fail("results", std::to_string(results.size()) + " of them",
                "one for each of the " + std::to_string(size()) + " windows");
  }
  const std::vector<Anchor> found = find_anchors(ClockView(store_->clocks()[anchor_clock_]), samples);
  write_anchors(*store_, found, anchors);
  std::vector<std::int64_t> episodes(found.size());
  std::ranges::transform(found, episodes.begin(), &Anchor::episode);
  const ConstTensor rows_of(episodes.data(), DType::i64, {batch});

  MemoryResource& resource = ctx.scratch != nullptr ? *ctx.scratch : host_memory();
  std::vector<Placed> placed(size());
  for (std::size_t w = 0; w < size(); ++w) {
    const WindowMarks marks = marks_of(w, window(w), results[w], batch, rows(w));
    if (plans_[w].is_run && is_bare(results[w], {batch, rows(w), column(w).values.shape[1]}, dtype(w))) {
      copy_runs(plans_[w], column(w), ClockView(store_->clocks()[anchor_clock_]), found, results[w].values.data,
                marks.is_pad, ctx.threads);
      continue;
    }
    const std::int64_t count = rows(w) * batch;
    Placed& rows_here = placed[plans_[w].like];
    if (!rows_here.made || !copy_marks(rows_here.marks, marks, static_cast<std::size_t>(count))) {
      if (!rows_here.made) rows_here = Placed(resource, static_cast<std::size_t>(count));
      place(w, found, rows_here.steps(), marks);
      rows_here.marks = marks;
    }
    apply(w, {rows_here.steps(), DType::i64, {1, batch, rows(w), 4}}, rows_of, results[w].values, ctx);
  }
}

}  // namespace robocache
