#include <algorithm>
#include <cmath>
#include <string>

#include "cuda/error.hpp"
#include "kernels/cuda/align_plan.hpp"
#include "robocache/error.hpp"

// The host side of align: cuts a call into blocks and picks a kernel.
namespace robocache::cuda {

namespace {

constexpr std::int64_t kStampsPerShare = 4096;  ///< that a block looks at when there are more than targets need
/// One wave of blocks: a quarter more of them cost 11% on H200 (bench align_cuda, 256x500->250x32), half as many 4%.
constexpr std::int64_t kBlocksPerProcessor = 8;
constexpr std::int64_t kLeastBytes = 2048;  ///< that a block writes: one access of each thread
constexpr std::int64_t kMostBytes = 32768;  ///< several waves then, which even out
constexpr std::int64_t kMostRows = std::int64_t{65535} * 65535;
constexpr std::int64_t kMostChunks = std::int64_t{1} << 31;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The widest access, in bytes, that fits every row of the stream, in and out; 0: elements are not copied or blended as
/// they are.
int access_width(const AlignStream& s) {
  if (s.dtype != s.out_dtype || s.scale != nullptr || s.bias != nullptr || s.place.interp == Interp::slerp) return 0;
  const auto size = static_cast<std::int64_t>(size_of(s.dtype));
  if (s.value_column != 1) return static_cast<int>(size);
  const auto bits =
      reinterpret_cast<std::uintptr_t>(s.values) | reinterpret_cast<std::uintptr_t>(s.out) |
      static_cast<std::uintptr_t>((s.columns | s.value_batch | s.value_row | s.out_batch | s.out_row) * size | 16);
  return static_cast<int>(bits & -bits);
}

int processors() {
  int device = 0;
  int count = 0;
  check("align", cudaGetDevice(&device));
  check("align", cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

/// Of the call's rows: bytes that all streams write.
std::int64_t row_bytes(const AlignArgs& call) {
  std::int64_t bytes = 0;
  for (const AlignStream& s : call.streams) bytes += s.columns * static_cast<std::int64_t>(size_of(s.out_dtype));
  return bytes;
}

/// Tiles that make the whole call one wave of blocks, shared among the streams by what they write; and more pieces where
/// the stamps to look at are many for each target. `wave`: blocks for each byte of an output row.
void plan_pieces(const AlignArgs& call, const AlignStream& s, double wave, AlignPlan& plan) {
  const std::int64_t bytes = std::max<std::int64_t>(s.columns * static_cast<std::int64_t>(size_of(s.out_dtype)), 1);
  const double wanted = std::floor(wave * static_cast<double>(bytes) / static_cast<double>(call.batch));
  std::int64_t tile = wanted < 2 ? call.targets : ceil_div(call.targets, static_cast<std::int64_t>(wanted));
  tile = std::clamp(tile, ceil_div(kLeastBytes, bytes), ceil_div(kMostBytes, bytes));
  const std::int64_t tiles = ceil_div(call.targets, std::min<std::int64_t>(tile, kAlignTile));
  plan.tile = static_cast<std::uint32_t>(ceil_div(call.targets, tiles));
  plan.tiles = static_cast<std::uint32_t>(ceil_div(call.targets, plan.tile));
  plan.last_tile = static_cast<std::uint32_t>(call.targets - static_cast<std::int64_t>(plan.tiles - 1) * plan.tile);
  plan.pieces = plan.tiles;
  plan.checks = call.check_data;
  if (!plan.checks) return;
  const bool shared = s.stamp_batch == 0 && !plan.indirect;
  plan.shared_clock = shared ? 1 : 0;
  std::int64_t longest = s.samples;
  if (s.offsets.data != nullptr) longest /= std::max<std::int64_t>(s.segments, 1);
  if (shared) longest /= call.batch;
  plan.pieces =
      std::max(plan.pieces, static_cast<std::uint32_t>(std::min<std::int64_t>(longest / kStampsPerShare, 1 << 16)));
}

AlignPlan plan_stream(const AlignArgs& call, const AlignStream& s, double wave) {
  const auto size = static_cast<std::int64_t>(size_of(s.dtype));
  const auto out_size = static_cast<std::int64_t>(size_of(s.out_dtype));
  const auto time_size = static_cast<std::int64_t>(size_of(call.time));
  AlignPlan plan;
  plan.stamps = s.stamps;
  plan.stamp_batch = s.stamp_batch * time_size;
  plan.stamp_row = s.stamp_row * time_size;
  plan.samples = s.samples;
  plan.offset_ns = s.offset_ns;
  plan.values = s.values;
  plan.value_batch = s.value_batch * size;
  plan.value_pitch = s.value_row * size;
  plan.out = s.out;
  plan.out_batch = s.out_batch * out_size;
  plan.out_pitch = s.out_row * out_size;
  plan.dtype = s.dtype;
  plan.interp = s.place.interp;
  plan.indirect = s.rows.data != nullptr || s.lengths.data != nullptr || s.offsets.data != nullptr;
  plan.width = static_cast<std::uint32_t>(access_width(s));
  plan.value_chunk = plan.width > size ? plan.width : s.value_column * size;
  const std::int64_t chunks = plan.width == 0 ? s.columns : s.columns * size / plan.width;
  if (chunks > kMostChunks) {
    throw Unsupported("align: a row takes " + std::to_string(chunks) + " accesses, expected at most 2^31");
  }
  plan.chunks = static_cast<std::uint32_t>(chunks);
  while (plan.lane_bits < 5 && (1 << plan.lane_bits) < chunks) ++plan.lane_bits;
  plan_pieces(call, s, wave, plan);
  return plan;
}

template <class T, int N>
void align_streams(const AlignArgs& args, std::size_t first, const FaultSink& sink, const Context& ctx) {
  const auto streams = args.streams.subspan(first, std::min<std::size_t>(N, args.streams.size() - first));
  constexpr auto time_size = static_cast<std::int64_t>(sizeof(T));
  AlignParameters<N> parameters;
  parameters.at = args.at;
  parameters.at_batch = args.at_batch * time_size;
  parameters.at_row = args.at_row * time_size;
  parameters.targets = args.targets;
  parameters.batch = static_cast<std::uint32_t>(args.batch);
  parameters.first_stream = static_cast<std::uint32_t>(first);
  parameters.has_origin = args.origin != nullptr;
  parameters.has_marks = args.valid != nullptr || args.age_ns != nullptr;
  parameters.call = args;
  if (args.valid != nullptr) parameters.call.valid += static_cast<std::int64_t>(first) * args.valid_stream;
  if (args.age_ns != nullptr) parameters.call.age_ns += static_cast<std::int64_t>(first) * args.age_stream;
  parameters.sink = sink;
  const double wave = static_cast<double>(kBlocksPerProcessor * processors()) /
                      static_cast<double>(std::max<std::int64_t>(row_bytes(args), 1));
  std::ranges::fill(parameters.first_blocks, UINT32_MAX);
  std::uint32_t blocks = 0;
  bool plain = true;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    AlignPlan& plan = parameters.plans[i] = plan_stream(args, streams[i], wave);
    parameters.streams[i] = streams[i];
    parameters.first_blocks[i] = blocks;
    blocks += plan.pieces;
    plain = plain && (plan.chunks == 0 || (plan.width >= 8 && plan.value_chunk == plan.width));
  }
  launch_align<T>(parameters, blocks, plain, ctx.stream);
}

template <class T>
void align_times(const AlignArgs& args, const FaultSink& sink, const Context& ctx) {
  for (std::size_t first = 0; first < args.streams.size(); first += kAlignStreams) {
    const std::size_t count = args.streams.size() - first;
    if (count == 1)
      align_streams<T, 1>(args, first, sink, ctx);
    else if (count <= 4)
      align_streams<T, 4>(args, first, sink, ctx);
    else if (count <= 16)
      align_streams<T, 16>(args, first, sink, ctx);
    else
      align_streams<T, kAlignStreams>(args, first, sink, ctx);
  }
}

}  // namespace

void align(const AlignArgs& args, const FaultSink& sink, const Context& ctx) {
  if (args.batch > kMostRows) {
    throw Unsupported("align: B is " + std::to_string(args.batch) + ", expected at most " + std::to_string(kMostRows));
  }
  visit(args.time, AlignTimes{}, [&]<DType time>() {
    if constexpr (time == DType::i64)
      align_times<std::int64_t>(args, sink, ctx);
    else if constexpr (time == DType::f64)
      align_times<double>(args, sink, ctx);
    else
      align_times<float>(args, sink, ctx);
  });
}

}  // namespace robocache::cuda
