#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/error.hpp"
#include "kernels/cuda/align_runs_plan.hpp"
#include "memory/buffer.hpp"
#include "robocache/error.hpp"

// The host side of align: cuts a call into blocks and picks a kernel.
namespace robocache::cuda {

namespace {

constexpr std::int64_t kStampsPerShare = 4096;  ///< that a block looks at when there are more than targets need
constexpr std::int64_t kLeastBytes = 2048;      ///< that a block writes
/// Rows are prefetched where a call is too short to keep the memory busy and needs most of them.
constexpr std::int64_t kMostPrefetched = 16'000'000;
constexpr std::int64_t kMostRows = std::int64_t{65535} * 65535;
constexpr std::int64_t kMostChunks = std::int64_t{1} << 31;

/// How a kernel wants a call to be cut.
struct Cut {
  std::int64_t tile;    ///< targets of a block at most
  std::int64_t blocks;  ///< for each processor: one wave
  std::int64_t bytes;   ///< that a block writes at most: several waves then, which even out
};
/// One wave is what fits a processor with the registers that the kernel has; with more blocks than that a second wave
/// costs up to 1.4x on H200 (bench align_cuda, 64x4096->1024x32), with fewer there are too few loads in flight.
constexpr Cut kPlainCut{kPlainTile, 5, 65536};
constexpr Cut kCurvesCut{kAlignTile, 8, 131072};
constexpr Cut kGeneralCut{kAlignTile, 6, 32768};

constexpr Cut one_curve_cut(const AlignStream& s) {
  const bool heavy = has_quaternion(s.place.interp) && s.dtype == DType::f32;  // computed in f64
  return {kAlignTile, curve_blocks(s.place.interp, s.dtype), heavy ? 131072 : 32768};
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The widest access, in bytes, that fits every row of the stream, in and out; 0: elements are not copied or blended as
/// they are.
int access_width(const AlignStream& s) {
  if (s.dtype != s.out_dtype || s.scale != nullptr || s.bias != nullptr) return 0;
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

/// Bytes of a row that the entries write.
std::int64_t row_bytes(std::span<const AlignStream> entries) {
  std::int64_t bytes = 0;
  for (const AlignStream& s : entries) bytes += s.columns * static_cast<std::int64_t>(size_of(s.out_dtype));
  return std::max<std::int64_t>(bytes, 1);
}

/// Tiles that make the whole call one wave of blocks, shared among the streams by what they write; and more pieces where
/// the stamps to look at are many for each target. `wave`: blocks for each byte of an output row.
void plan_pieces(const AlignArgs& call, std::span<const AlignStream> runs, const Cut& cut, double wave,
                 AlignPlan& plan) {
  const AlignStream& s = runs.front();
  const std::int64_t bytes = row_bytes(runs);
  const double wanted = std::floor(wave * static_cast<double>(bytes) / static_cast<double>(call.batch));
  std::int64_t tile = wanted < 2 ? call.targets : ceil_div(call.targets, static_cast<std::int64_t>(wanted));
  tile = std::clamp(tile, ceil_div(kLeastBytes, bytes), ceil_div(cut.bytes, bytes));
  if (plan.signs && call.targets <= kAlignTile) tile = kAlignTile;  // which saves a second launch
  const std::int64_t tiles = ceil_div(call.targets, std::min(tile, cut.tile));
  plan.tile = static_cast<std::uint32_t>(ceil_div(call.targets, tiles));
  plan.tiles = static_cast<std::uint32_t>(ceil_div(call.targets, plan.tile));
  plan.last_tile = static_cast<std::uint32_t>(call.targets - static_cast<std::int64_t>(plan.tiles - 1) * plan.tile);
  plan.pieces = plan.tiles;
  plan.checks = call.check_data && s.read_steps == nullptr;
  if (!plan.checks) return;
  const bool shared = s.stamp_batch == 0 && !plan.indirect;
  plan.shared_clock = shared;
  std::int64_t longest = s.samples;
  if (s.offsets.data != nullptr) longest /= std::max<std::int64_t>(s.segments, 1);
  if (shared) longest /= call.batch;
  plan.pieces =
      std::max(plan.pieces, static_cast<std::uint32_t>(std::min<std::int64_t>(longest / kStampsPerShare, 1 << 16)));
}

/// What a piece prefetches: its share of a segment's stamps and, in short calls, of its samples.
void plan_prefetch(const AlignArgs& call, const AlignStream& s, AlignPlan& plan) {
  if (plan.indirect || s.read_steps != nullptr) return;
  const auto share = static_cast<std::uint32_t>(ceil_div(std::min<std::int64_t>(s.samples, 1 << 20), plan.pieces));
  if (plan.stamp_row == static_cast<std::int64_t>(size_of(call.time))) plan.stamps_ahead = share;
  const bool dense = plan.value_pitch == s.columns * static_cast<std::int64_t>(size_of(s.dtype));
  const bool most = 2 * call.targets >= s.samples;
  const bool brief = s.samples * plan.value_pitch <= kMostPrefetched / call.batch;
  if (dense && most && brief) plan.samples_ahead = share;
}

/// Of the first of these runs of a stream; its pieces come later.
AlignPlan plan_stream(const AlignArgs& call, std::span<const AlignStream> runs) {
  const AlignStream& s = runs.front();
  const auto size = static_cast<std::int64_t>(size_of(s.dtype));
  const auto out_size = static_cast<std::int64_t>(size_of(s.out_dtype));
  const auto time_size = static_cast<std::int64_t>(size_of(call.time));
  AlignPlan plan;
  plan.stamps = s.stamps;
  plan.stamp_batch = s.stamp_batch * time_size;
  plan.stamp_row = s.stamp_row * time_size;
  plan.samples = s.samples;
  plan.values = s.values;
  plan.value_batch = s.value_batch * size;
  plan.value_pitch = s.value_row * size;
  plan.out = s.out;
  plan.out_batch = s.out_batch * out_size;
  plan.out_pitch = s.out_row * out_size;
  plan.dtype = s.dtype;
  plan.interp = s.place.interp;
  plan.indirect = s.rows.data != nullptr || s.lengths.data != nullptr || s.offsets.data != nullptr;
  plan.number = s.number;
  plan.clamps = s.place.before.policy == Outside::Policy::hold && s.place.after.policy == Outside::Policy::hold;
  plan.limited = s.place.max_gap_ns != kNoLimit || s.place.max_age_ns != kNoLimit;
  plan.width = static_cast<std::uint8_t>(access_width(s));
  plan.value_chunk = plan.width > size ? plan.width : s.value_column * size;
  const std::int64_t chunks = plan.width == 0 ? s.columns : s.columns * size / plan.width;
  if (chunks > kMostChunks) {
    throw Unsupported("align: a row takes " + std::to_string(chunks) + " accesses, expected at most 2^31");
  }
  plan.chunks = static_cast<std::uint32_t>(chunks);
  while (plan.lane_bits < 5 && (1 << plan.lane_bits) < chunks) ++plan.lane_bits;
  plan_runs(runs, plan);
  return plan;
}

/// Shares one wave of blocks among the streams; the blocks for each batch row.
template <int N>
std::uint32_t plan_blocks(const AlignArgs& call, std::span<const AlignStream> streams, Cut cut,
                          AlignParameters<N>& parameters) {
  // Blocks of several sizes even out better when they are smaller: 1.07x on H200 (bench align_cuda, wide fusion).
  if (streams.size() > 1) cut.bytes /= 2;
  const double wave = static_cast<double>(cut.blocks * processors()) / static_cast<double>(row_bytes(call.streams));
  std::ranges::fill(parameters.first_blocks, UINT32_MAX);
  std::uint32_t blocks = 0;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    AlignPlan& plan = parameters.plans[i];
    plan_pieces(call, runs_of(streams, i), cut, wave, plan);
    plan_prefetch(call, streams[i], plan);
    parameters.first_blocks[i] = blocks;
    if (!streams[i].continues) blocks += plan.pieces;
  }
  return blocks;
}

/// Whether a plain stream is such as launch_align_short takes.
bool is_short(const AlignArgs& call, const AlignStream& s, const AlignPlan& plan) {
  const auto near = [](std::int64_t count, std::int64_t bytes) {
    return bytes >= 0 && bytes <= std::numeric_limits<std::int32_t>::max() / count;
  };
  const auto time_size = static_cast<std::int64_t>(size_of(call.time));
  const bool clock = s.samples > 0 && s.samples <= kAlignWindow && (s.stamp_row == 1 || s.samples == 1);
  const bool whole = plan.pieces == plan.tiles;  // no block without targets
  return whole && !plan.indirect && clock && s.columns > 0 && s.dtype != DType::f64 && near(1, plan.stamp_batch) &&
         near(1, call.at_batch * time_size) && near(call.targets, call.at_row * time_size) && near(1, call.targets) &&
         near(1, plan.value_batch) && near(s.samples, plan.value_pitch) && near(1, plan.out_batch) &&
         near(call.targets, plan.out_pitch);
}

/// Memory in which the tiles of quaternions tell each other their signs; none where every batch row is one tile.
template <int N>
Buffer sign_memory(std::span<const AlignStream> streams, AlignParameters<N>& parameters, const Context& ctx) {
  std::size_t bytes[N] = {};
  std::size_t all = 0;
  std::uint32_t tiles = 0;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (!streams[i].continues) tiles = parameters.plans[i].tiles;
    all += bytes[i] = sign_bytes(streams[i], parameters.batch, tiles);
  }
  if (all == 0) return {};
  int device = 0;
  check("align", cudaGetDevice(&device));
  Buffer signs(ctx.scratch != nullptr ? *ctx.scratch : robocache::device_memory(device), all, ctx.stream);
  auto* next = static_cast<std::uint8_t*>(signs.data());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (bytes[i] > 0) parameters.plans[i].turned = next;
    next += bytes[i];
  }
  return signs;
}

/// A launch of `kernel`; two where quaternions have more tiles than one.
template <class T, int N>
void launch_kernel(Kernel kernel, const AlignArgs& call, std::span<const AlignStream> streams,
                   AlignParameters<N>& parameters, std::uint32_t blocks, const Context& ctx) {
  if constexpr (N == 1) {
    if (kernel == Kernel::plain && is_short(call, streams.front(), parameters.plans[0])) {
      return launch_align_short<T>(parameters, blocks, ctx.stream);
    }
  }
  if (kernel == Kernel::plain) return launch_align<T>(parameters, blocks, ctx.stream);
  const auto launch_twice = [&](auto* launch) {
    const Buffer signs = sign_memory(streams, parameters, ctx);
    launch(parameters, blocks, ctx.stream);
    parameters.second = true;
    if (signs.data() != nullptr) launch(parameters, blocks, ctx.stream);
  };
  // Which kernels there are: align_with asks for no others.
  if constexpr (N == 1) {
    launch_twice(launch_align_one_curve<T>);
  } else {
    if (kernel == Kernel::curves) return launch_twice(launch_align_curves<T, N>);
  }
  if constexpr (N == 4 || N == kAlignStreams) launch_twice(launch_align_general<T, N>);
}

template <class T, int N>
void align_streams(const AlignArgs& args, std::span<const AlignStream> streams, Kernel kernel, const FaultSink& sink,
                   const Context& ctx) {
  constexpr auto time_size = static_cast<std::int64_t>(sizeof(T));
  AlignParameters<N> parameters;
  parameters.at = args.at;
  parameters.at_batch = args.at_batch * time_size;
  parameters.at_row = args.at_row * time_size;
  parameters.targets = args.targets;
  parameters.batch = static_cast<std::uint32_t>(args.batch);
  parameters.valid = {args.valid, args.valid_batch, args.valid_row, args.valid_stream};
  parameters.age_ns = {args.age_ns, args.age_batch, args.age_row, args.age_stream};
  parameters.origin = args.origin;
  parameters.origin_row = args.origin_row;
  parameters.sink = sink;
  for (std::size_t i = 0; i < std::min<std::size_t>(N, streams.size()); ++i) {  // N: GCC cannot see that it is enough
    parameters.streams[i] = streams[i];
    parameters.plans[i] = plan_stream(args, runs_of(streams, i));
    const T shift = Clock<T>::shift(T{}, streams[i].offset_ns);
    std::memcpy(&parameters.plans[i].shift_bits, &shift, sizeof shift);
  }
  const Cut cut = kernel == Kernel::plain     ? kPlainCut
                  : kernel == Kernel::general ? kGeneralCut
                  : N == 1                    ? one_curve_cut(streams.front())
                                              : kCurvesCut;
  const std::uint32_t blocks = plan_blocks(args, streams, cut, parameters);
  launch_kernel<T>(kernel, args, streams, parameters, blocks, ctx);
}

/// Whether these runs of streams have a kernel of their own: what takes the place of align_curves_kernel.
bool is_one_curve(Kernel kernel, std::span<const AlignStream> streams) {
  const AlignStream& s = streams.front();
  const Interp interp = s.place.interp;
  const bool curve =
      interp == Interp::pchip || interp == Interp::angle || interp == Interp::slerp || interp == Interp::se3;
  return kernel == Kernel::curves && streams.size() == 1 && curve && s.columns > 0;
}

template <class T>
void align_with(Kernel kernel, const AlignArgs& args, std::span<const AlignStream> all, const FaultSink& sink,
                const Context& ctx) {
  for (std::size_t first = 0; first < all.size();) {
    const std::span<const AlignStream> streams = launch_of(all, first);
    first += streams.size();
    const bool runs = std::ranges::any_of(streams, &AlignStream::continues);
    if ((kernel == Kernel::plain && streams.size() == 1) || is_one_curve(kernel, streams))
      align_streams<T, 1>(args, streams, kernel, sink, ctx);
    else if (streams.size() <= 4 && !runs)
      align_streams<T, 4>(args, streams, kernel, sink, ctx);
    else if (streams.size() <= 16 && kernel != Kernel::general)
      align_streams<T, 16>(args, streams, kernel, sink, ctx);
    else
      align_streams<T, kAlignStreams>(args, streams, kernel, sink, ctx);
  }
}

/// The kernel that all runs of a stream need.
Kernel kernel_of_stream(std::span<const AlignStream> runs) {
  Kernel kernel = Kernel::plain;
  for (const AlignStream& run : runs) kernel = std::max(kernel, kernel_of(run, access_width(run)));
  return runs.size() > 1 ? std::max(kernel, Kernel::curves) : kernel;
}

template <class T>
void align_times(const AlignArgs& args, const FaultSink& sink, const Context& ctx) {
  Kernel kernel = Kernel::plain;
  for (std::size_t i = 0; i < args.streams.size();) {
    const auto runs = runs_of(args.streams, i);
    const Kernel needed = kernel_of_stream(runs);
    kernel = std::max(kernel, needed);
    i += runs.size();
  }
  if (kernel != Kernel::general) return align_with<T>(kernel, args, args.streams, sink, ctx);
  // What the curves' kernel does well is not left to the general one.
  std::vector<AlignStream> curves;
  std::vector<AlignStream> others;
  for (std::size_t i = 0; i < args.streams.size();) {
    const auto runs = runs_of(args.streams, i);
    auto& list = kernel_of_stream(runs) == Kernel::curves ? curves : others;
    list.insert(list.end(), runs.begin(), runs.end());
    i += runs.size();
  }
  align_with<T>(Kernel::curves, args, curves, sink, ctx);
  align_with<T>(Kernel::general, args, others, sink, ctx);
}

}  // namespace

void align(const AlignArgs& args, const FaultSink& sink, const Context& ctx) {
  if (args.batch > kMostRows) {
    throw Unsupported("align: B is " + std::to_string(args.batch) + ", expected at most " + std::to_string(kMostRows));
  }
  with_time_type(args.time, [&]<class T>() { align_times<T>(args, sink, ctx); });
}

}  // namespace robocache::cuda
