#include <algorithm>

#include "cuda/error.hpp"
#include "kernels/cuda/align_plan.hpp"

// The host side of align: cuts a call into blocks and picks a kernel.
namespace robocache::cuda {

namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The widest access, in bytes, that fits every row of the stream, in and out; 0: elements are not copied or blended as
/// they are.
int access_width(const AlignStream& s) {
  if (s.dtype != s.out_dtype || s.scale != nullptr || s.bias != nullptr || s.place.interp == Interp::slerp) return 0;
  const auto size = static_cast<std::int64_t>(size_of(s.dtype));
  if (s.value_column != 1) return static_cast<int>(size);
  const auto bits = reinterpret_cast<std::uintptr_t>(s.values) | reinterpret_cast<std::uintptr_t>(s.out) |
                    static_cast<std::uintptr_t>(
                        (s.columns | s.value_batch | s.value_row | s.out_batch | s.out_row) * size | 16);
  return static_cast<int>(bits & -bits);
}

int processors() {
  int device = 0;
  int count = 0;
  check("align", cudaGetDevice(&device));
  check("align", cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

/// Blocks that look for unsorted stamps. A clock that the whole batch shares is looked at once.
void plan_checks(const AlignArgs& call, AlignStreamPlan& plan) {
  if (!call.check_data) return;
  const AlignStream& s = plan.stream;
  const bool shared = s.stamp_batch == 0 && s.offsets.data == nullptr && s.lengths.data == nullptr;
  const bool indirect = s.rows.data != nullptr;  // every row's segment number needs a look
  const std::int64_t longest = s.offsets.data == nullptr ? s.samples : s.samples / std::max<std::int64_t>(s.segments, 1);
  plan.pieces = std::clamp<std::int64_t>(ceil_div(longest, kAlignThreads * kCheckedPerThread), 1, 65536);
  plan.check_blocks = (shared && !indirect ? 1 : call.batch) * plan.pieces;
}

/// Tiles that give each thread about four chunks, or one where there would be too few blocks to fill the device.
void plan_tiles(const AlignArgs& call, std::int64_t filling, AlignStreamPlan& plan) {
  const std::int64_t rows_at_once = std::max<std::int64_t>(kAlignThreads / std::max<std::int64_t>(plan.chunks, 1), 1);
  const auto tiles_of = [&](std::int64_t tile) { return ceil_div(call.targets, std::min<std::int64_t>(tile, kAlignTile)); };
  plan.tiles = tiles_of(4 * rows_at_once);
  if (call.batch * plan.tiles < filling) plan.tiles = tiles_of(rows_at_once);
  plan.tile = ceil_div(call.targets, plan.tiles);
  plan.tiles = ceil_div(call.targets, plan.tile);
}

AlignStreamPlan plan_stream(const AlignArgs& call, const AlignStream& stream, std::int64_t filling) {
  AlignStreamPlan plan;
  plan.stream = stream;
  const auto size = static_cast<std::int64_t>(size_of(stream.dtype));
  plan.width = access_width(stream);
  plan.chunks = plan.width == 0 ? stream.columns : stream.columns * size / plan.width;
  plan.value_pitch = stream.value_row * size;
  plan.value_chunk = plan.width > size ? plan.width : stream.value_column * size;
  plan_checks(call, plan);
  plan_tiles(call, filling, plan);
  return plan;
}

template <class T, int N>
void align_streams(const AlignArgs& args, std::span<const AlignStream> streams, std::int64_t first,
                   const FaultSink& sink, const Context& ctx) {
  AlignParameters<N> parameters;
  parameters.call = args;
  if (args.valid != nullptr) parameters.call.valid += first * args.valid_stream;
  if (args.age_ns != nullptr) parameters.call.age_ns += first * args.age_stream;
  parameters.sink = sink;
  parameters.count = static_cast<std::int32_t>(streams.size());
  parameters.first_stream = static_cast<std::int32_t>(first);
  const std::int64_t filling = 2 * processors();
  std::int64_t blocks = 0;
  bool plain = true;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    AlignStreamPlan& plan = parameters.plans[i] = plan_stream(args, streams[i], filling);
    plan.first_block = blocks;
    blocks += plan.check_blocks + args.batch * plan.tiles;
    plain = plain && (plan.width >= 8 || streams[i].columns == 0) && plan.chunks < (1 << 20);
  }
  launch_align<T>(parameters, blocks, plain, ctx.stream);
}

template <class T>
void align_times(const AlignArgs& args, const FaultSink& sink, const Context& ctx) {
  for (std::size_t first = 0; first < args.streams.size(); first += kAlignStreams) {
    const auto streams = args.streams.subspan(first, std::min<std::size_t>(kAlignStreams, args.streams.size() - first));
    const auto offset = static_cast<std::int64_t>(first);
    if (streams.size() <= 4) align_streams<T, 4>(args, streams, offset, sink, ctx);
    else if (streams.size() <= 16) align_streams<T, 16>(args, streams, offset, sink, ctx);
    else align_streams<T, kAlignStreams>(args, streams, offset, sink, ctx);
  }
}

}  // namespace

void align(const AlignArgs& args, const FaultSink& sink, const Context& ctx) {
  visit(args.time, AlignTimes{}, [&]<DType time>() {
    if constexpr (time == DType::i64) align_times<std::int64_t>(args, sink, ctx);
    else if constexpr (time == DType::f64) align_times<double>(args, sink, ctx);
    else align_times<float>(args, sink, ctx);
  });
}

}  // namespace robocache::cuda
