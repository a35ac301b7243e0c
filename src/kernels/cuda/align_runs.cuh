#pragma once

#include "kernels/cuda/align_block.cuh"
#include "math/unit.hpp"

// Step 1 of align for streams that are not plain: a tile of targets is located once for all runs of columns.
namespace robocache::cuda {

inline constexpr int kTimeClasses = 3;           ///< what place() tells apart: hold, nearest, curves
inline constexpr int kRunRows = kAlignTile + 1;  ///< a tile, and the row before it

__device__ __forceinline__ constexpr int time_class(Interp interp) {
  return static_cast<int>(is_curve(interp) ? Interp::linear : interp) - static_cast<int>(Interp::hold);
}

/// What one class of time makes of the rows of a tile.
struct ClassRows {
  Step steps[kRunRows];
  double weights[kRunRows];  ///< the same in f64; fill: the value
  std::int64_t samples[kRunRows];
};

/// Widths of the intervals beside a row's own; 0: there is none.
struct Widths {
  double before, after;
};

/// What quaternions tell the rows below them about their signs.
struct SignExchange {
  double first[kAlignThreads][4];
  double last[kAlignThreads][4];
  std::uint8_t turned[kAlignThreads];
};

/// The cubics of pchip's rows.
struct alignas(16) Cubic {
  float change, before_term, change_of_before, of_before;
  float after_term, change_of_after, of_after;
  std::uint32_t kind;
  std::int64_t source;
};

/// Of a row of quaternions: the weights of its two ends, as polynomials in what the angle between them gives.
template <class C, int kTerms>
struct alignas(16) ArcRow {
  C from[kTerms + 1], to[kTerms + 1];
};

/// A tile's rows. They are numbered from the row before it on, if that one's quaternions are needed: row k >= lead is
/// that of target first + k.
struct Rows {
  std::int64_t first;
  std::uint32_t lead, end;
};

/// What a block serves. It is kept in shared memory: registers are scarce where a run is applied.
struct Served {
  Rows rows;
  std::int64_t segment;  ///< bytes from a run's values to those of the segment
  std::uint32_t index, b, piece;
};

/// A block's shared memory.
template <class T>
struct RunScratch {
  union {
    T cache[kAlignWindow + 1];
    struct {
      SignExchange signs;
      union {
        ArcRow<float, 3> arcs_f32[kRunRows];
        ArcRow<double, 5> arcs_f64[kRunRows];
      };
    };
    Cubic cubics[kRunRows];
  };
  ClassRows classes[kTimeClasses];
  Widths widths[kRunRows];  ///< of curves
  std::uint32_t flags[kRunRows];
  Served served;
};

/// And what it takes to place units one by one where samples may be missing.
template <class T>
struct HoleScratch : RunScratch<T> {
  T targets[kRunRows];
  std::int64_t last[kRunRows];  ///< sample at or before the target
  std::int64_t ages[kRunRows];
};

inline constexpr std::uint32_t kNotValid = 1;  ///< flags of a row
inline constexpr std::uint32_t kRefused = 2;

/// One run of columns of a tile.
struct RunTile {
  const AlignPlan& plan;
  const AlignStream& stream;
  const ClassRows& rows;
  const Widths* widths;
  std::uint32_t* flags;
  const char* values;  ///< of the segment
  char* out;           ///< of row 0
  std::uint32_t lead, end;

  __device__ __forceinline__ char* row(std::uint32_t k) const { return out + k * plan.out_pitch; }
};

__device__ __forceinline__ bool may_miss(const AlignStream& stream) {
  return stream.mask != nullptr || stream.missing != Missing::propagate;
}

__device__ __forceinline__ void keep_row(const AlignPlan& plan, const AlignStream& stream, const PlanStep& s,
                                         ClassRows& rows, Widths& widths, bool curve) {
  const auto store = s.index < 0     ? Placement::Store::fill
                     : s.weight == 0 ? Placement::Store::copy
                                     : Placement::Store::blend;
  const bool fill = s.index < 0;
  rows.steps[threadIdx.x] = make_step(fill ? fill_bits(stream.out_dtype, s.weight) : s.index * plan.value_pitch,
                                      static_cast<float>(s.weight), store);
  rows.weights[threadIdx.x] = s.weight;
  rows.samples[threadIdx.x] = s.index;
  if (curve) widths = {s.before_width, s.after_width};
}

/// Stamps for the shoulders of an interval: the one before it is in the window, too, as a rule.
template <class T>
struct Around {
  const Neighbours<T>& near;
  const T* cache;

  __device__ __forceinline__ T operator()(std::int64_t k) const {
    return k == near.i - 1 && near.left > 0 && near.cached > cache ? near.cached[-1] : near(k);
  }
};

/// Locates the row of this thread for a class of time, and has its say in the marks.
template <Interp kClass, class T, int N>
__device__ __forceinline__ void locate_class(const Block<N>& block, std::int64_t t, bool stored, T target,
                                             std::int64_t samples, const Neighbours<T>& near, RunScratch<T>& scratch,
                                             Placement& marks) {
  const AlignPlan& plan = block.plan();
  constexpr int kIndex = time_class(kClass);
  if (plan.class_run[kIndex] == kNoRun) return;
  PlaceOptions options = block.stream().place;
  options.interp = kClass;
  const Placement p = place<T>(near, samples, near.i, target, options);
  PlanStep step{p.store == Placement::Store::fill ? -1 : p.index, p.weight, 0, 0};
  if (is_curve(kClass) && plan.shoulders && p.store == Placement::Store::blend) {
    const Around<T> stamps{near, scratch.cache};
    const Shoulders around = shoulders<T>(AllSamples<T, Around<T>>{stamps, samples}, p.index, p.next);
    step.before_width = around.before_width;
    step.after_width = around.after_width;
  }
  keep_row(plan, block.stream(), step, scratch.classes[kIndex], scratch.widths[threadIdx.x], is_curve(kClass));
  marks.valid = marks.valid && p.valid;
  marks.age_ns = p.age_ns;
  if (!stored) return;
  if (p.refused) block.fault(Fault::Code::outside, t);
  PlanStep* const kept = block.call.streams[block.index + plan.class_run[kIndex]].write_steps;
  if (kept != nullptr) kept[block.b * block.call.targets + t] = step;
}

/// Locates the row of this thread for every class that the stream's runs have.
template <class T, int N>
__device__ __forceinline__ void locate_row(const Block<N>& block, std::int64_t t, bool stored, T target,
                                           std::int64_t samples, const Neighbours<T>& near, RunScratch<T>& scratch) {
  Placement marks;
  marks.valid = true;
  locate_class<Interp::linear>(block, t, stored, target, samples, near, scratch, marks);
  locate_class<Interp::hold>(block, t, stored, target, samples, near, scratch, marks);
  locate_class<Interp::nearest>(block, t, stored, target, samples, near, scratch, marks);
  if (stored && !block.call.second) write_marks(block, t, marks);
}

/// Rows of a plan instead.
template <class T, int N>
__device__ __forceinline__ void read_row(const Block<N>& block, std::int64_t t, std::int64_t samples,
                                         RunScratch<T>& scratch) {
  const AlignPlan& plan = block.plan();
#pragma unroll 1
  for (int c = 0; c < kTimeClasses; ++c) {
    if (plan.class_run[c] == kNoRun) continue;
    const AlignStream& run = block.call.streams[block.index + plan.class_run[c]];
    const PlanStep step = usable_step(run.read_steps[block.b * run.steps_batch + t], samples);
    keep_row(plan, run, step, scratch.classes[c], scratch.widths[threadIdx.x], c == time_class(Interp::linear));
  }
}

/// Finds what the rows of a block are made of; false: it has none. Called by every thread of the block; `scratch` is
/// complete on return.
template <class T, int N, class Scratch>
__device__ __forceinline__ bool locate_rows(const Block<N>& block, const Source<T>& source, Scratch& scratch) {
  constexpr bool kHoles = std::is_same_v<Scratch, HoleScratch<T>>;
  const AlignPlan& plan = block.plan();
  const AlignStream& stream = block.stream();
  const std::uint32_t left = plan.tiles - min(block.piece, plan.tiles);
  const std::uint32_t count = left > 1 ? plan.tile : left * plan.last_tile;
  const std::uint32_t lead = plan.signs && block.piece > 0 && left > 0 ? 1 : 0;
  const Rows rows{static_cast<std::int64_t>(block.piece) * plan.tile - lead, lead, count + lead};
  const std::int64_t t = min(rows.first + threadIdx.x, block.call.targets - 1);
  const bool located = threadIdx.x < rows.end;
  if (threadIdx.x == 0) {
    scratch.served = {rows, source.values - static_cast<const char*>(plan.values), block.index, block.b, block.piece};
  }
  if (threadIdx.x < kRunRows) {
    scratch.flags[threadIdx.x] = 0;
    if constexpr (kHoles) scratch.ages[threadIdx.x] = std::numeric_limits<std::int64_t>::min();
  }
  if (stream.read_steps != nullptr) {
    if (located) read_row(block, t, source.count, scratch);
    __syncthreads();
    return count > 0;
  }
  TargetRow<T> targets = targets_of<T>(block);
  read_origin(block, targets);
  const T target = targets.stored(t);
  const std::int64_t last = rows.first + rows.end;
  const Window window = load_window(block, source, targets, rows.first, last,
                                    first_window(block, source, rows.first, last), target, located, scratch.cache);
  if (located) {
    const T placed = targets.placed(target);
    const Neighbours<T> near = neighbours(window, scratch.cache, source.stamps, source.count, placed);
    bool whole = true;
    if constexpr (kHoles) {
      whole = !may_miss(stream);
      scratch.targets[threadIdx.x] = placed;
      scratch.last[threadIdx.x] = near.i;
    }
    if (whole) locate_row(block, t, threadIdx.x >= lead, placed, source.count, near, scratch);
  }
  if (plan.checks && !block.call.second && threadIdx.x >= kAlignTile) {
    check_stamps(block, source, scratch.cache, static_cast<int>(threadIdx.x) - kAlignTile, kAlignThreads - kAlignTile);
  }
  __syncthreads();
  return count > 0;
}

}  // namespace robocache::cuda
