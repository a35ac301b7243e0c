#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/thread_pool.hpp"
#include "engine/window_rows.hpp"

// Windows of consecutive samples as they are, which is what most policies are trained with: a block is copied, and its
// ends repeat where the episode ends. To find each row would take longer than to copy it.
namespace robocache {

namespace {

constexpr std::int64_t kGrainBytes = 256 << 10;

/// `count` times the row at `from`.
std::byte* repeat(std::byte* out, const std::byte* from, std::int64_t count, std::size_t bytes) {
  for (std::int64_t i = 0; i < count; ++i, out += bytes) std::memcpy(out, from, bytes);
  return out;
}

/// K samples of a stream, one behind the other.
struct Run {
  std::int64_t step;  ///< from the anchor to the first
  std::int64_t rows;
  std::size_t bytes;  ///< of a sample
  const std::byte* values;

  void copy(const Anchor& anchor, const ClockView& clock, std::byte* to, bool* is_pad) const {
    const std::int64_t begin = clock.offsets[anchor.episode];
    const std::int64_t count = clock.offsets[anchor.episode + 1] - begin;
    const std::int64_t first = anchor.sample + step;
    const std::int64_t before = std::clamp<std::int64_t>(-first, 0, rows);
    const std::int64_t after = std::clamp<std::int64_t>(first + rows - count, 0, rows);
    const std::int64_t inside = rows - before - after;
    const auto at = [&](std::int64_t i) { return values + static_cast<std::size_t>(begin + i) * bytes; };
    to = repeat(to, at(0), before, bytes);
    if (inside > 0) std::memcpy(to, at(first + before), static_cast<std::size_t>(inside) * bytes);
    to += static_cast<std::size_t>(inside) * bytes;
    repeat(to, at(count - 1), after, bytes);
    if (is_pad == nullptr) return;
    std::fill_n(is_pad, before, true);
    std::fill_n(is_pad + before, inside, false);
    std::fill_n(is_pad + before + inside, after, true);
  }
};

}  // namespace

void copy_runs(const Windows::Plan& plan, const Store::Column& column, const ClockView& clock,
               std::span<const Anchor> anchors, void* out, bool* is_pad, int threads) {
  const auto rows = static_cast<std::int64_t>(plan.targets.size());
  const std::size_t bytes = static_cast<std::size_t>(column.values.shape[1]) * size_of(column.stream.dtype);
  const Run run{plan.targets.front().samples, rows, bytes, static_cast<const std::byte*>(column.values.data)};
  const std::int64_t grain = kGrainBytes / std::max<std::int64_t>(1, rows * static_cast<std::int64_t>(bytes)) + 1;
  parallel_for(static_cast<std::int64_t>(anchors.size()), grain, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      std::byte* const to = static_cast<std::byte*>(out) + static_cast<std::size_t>(b * rows) * bytes;
      run.copy(anchors[static_cast<std::size_t>(b)], clock, to, is_pad != nullptr ? is_pad + b * rows : nullptr);
    }
  });
}

}  // namespace robocache
