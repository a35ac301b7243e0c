#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/error.hpp"
#include "kernels/cuda/align_runs_plan.hpp"
#include "kernels/cuda/align_short.hpp"
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

/// Tiles that make the whole call one wave of blocks. `bytes`: of an output row that the blocks of a tile write; `wave`:
/// blocks for each of these.
void plan_tiles(const AlignArgs& call, std::int64_t bytes, const Cut& cut, double wave, AlignPlan& plan) {
  const double wanted = std::floor(wave * static_cast<double>(bytes) / static_cast<double>(call.batch));
  std::int64_t tile = wanted < 2 ? call.targets : ceil_div(call.targets, static_cast<std::int64_t>(wanted));
  tile = std::clamp(tile, ceil_div(kLeastBytes, bytes), ceil_div(cut.bytes, bytes));
  if (plan.signs && call.targets <= kAlignTile) tile = kAlignTile;  // which saves a second launch
  const std::int64_t tiles = ceil_div(call.targets, std::min(tile, cut.tile));
  plan.tile = static_cast<std::uint32_t>(ceil_div(call.targets, tiles));
  plan.tiles = static_cast<std::uint32_t>(ceil_div(call.targets, plan.tile));
  plan.last_tile = static_cast<std::uint32_t>(call.targets - static_cast<std::int64_t>(plan.tiles - 1) * plan.tile);
}

/// A piece for each tile, and more of them where the stamps to look at are many for each target.
void plan_pieces(const AlignArgs& call, const AlignStream& s, AlignPlan& plan) {
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
    plan_tiles(call, row_bytes(runs_of(streams, i)), cut, wave, plan);
    plan_pieces(call, streams[i], plan);
    plan_prefetch(call, streams[i], plan);
    parameters.first_blocks[i] = blocks;
    if (!streams[i].continues) blocks += plan.pieces;
  }
  return blocks;
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
void launch_kernel(Kernel kernel, std::span<const AlignStream> streams, AlignParameters<N>& parameters,
                   std::uint32_t blocks, const Context& ctx) {
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

/// All but how the call is cut.
template <class T, int N>
void fill_parameters(const AlignArgs& args, std::span<const AlignStream> streams, const FaultSink& sink,
                     AlignParameters<N>& parameters) {
  constexpr auto time_size = static_cast<std::int64_t>(sizeof(T));
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
}

template <class T, int N>
void align_streams(const AlignArgs& args, std::span<const AlignStream> streams, Kernel kernel, const FaultSink& sink,
                   const Context& ctx) {
  AlignParameters<N> parameters;
  fill_parameters<T>(args, streams, sink, parameters);
  const Cut cut = kernel == Kernel::plain     ? kPlainCut
                  : kernel == Kernel::general ? kGeneralCut
                  : N == 1                    ? one_curve_cut(streams.front())
                                              : kCurvesCut;
  const std::uint32_t blocks = plan_blocks(args, streams, cut, parameters);
  launch_kernel<T>(kernel, streams, parameters, blocks, ctx);
}

constexpr bool is_short(std::int64_t count, std::int64_t bytes) {
  return count >= 0 && bytes >= 0 && (count == 0 || bytes <= std::numeric_limits<std::int32_t>::max() / count);
}

/// What kind of words serve all these streams, which are plain; none: DType::f64.
DType short_words(std::span<const AlignStream> streams) {
  DType words = DType::bf16;  // which integers can be, too: they are only ever copied
  bool found = false;
  for (const AlignStream& s : streams) {
    if (!contains(AlignFloats{}, s.dtype)) continue;
    if (found && s.dtype != words) return DType::f64;
    words = s.dtype;
    found = true;
  }
  return words;
}

/// Whether plain streams are such as align_short_kernel takes.
template <class T>
bool are_short(const AlignArgs& args, std::span<const AlignStream> streams) {
  constexpr auto time_size = static_cast<std::int64_t>(sizeof(T));
  if (streams.size() > kShortStreams || short_words(streams) == DType::f64) return false;
  if (!is_short(1, args.at_batch * time_size) ||
      !is_short(args.targets, std::max(args.at_row, std::int64_t{1}) * time_size))
    return false;
  return std::ranges::all_of(streams, [&](const AlignStream& s) {
    const auto size = static_cast<std::int64_t>(size_of(s.dtype));
    const bool indirect = s.rows.data != nullptr || s.lengths.data != nullptr || s.offsets.data != nullptr;
    return !indirect && s.samples > 0 && s.samples <= kAlignWindow && (s.stamp_row == 1 || s.samples == 1) &&
           is_short(1, s.stamp_batch * time_size) && is_short(1, s.value_batch * size) &&
           is_short(1, s.out_batch * size) && is_short(s.samples, s.value_row * size) &&
           is_short(args.targets, s.out_row * size);
  });
}

template <int N>
void plan_short(const AlignArgs& args, std::span<const AlignStream> streams, std::size_t i, int width,
                ShortParameters<N>& parameters) {
  const AlignPlan& plan = parameters.call.plans[i];
  const AlignStream& s = streams[i];
  const auto bytes = [](std::int64_t n) { return static_cast<std::uint32_t>(n); };
  ShortStream& to = parameters.streams[i];
  to.stamps = static_cast<const char*>(plan.stamps);
  to.values = static_cast<const char*>(plan.values);
  to.out = static_cast<char*>(plan.out);
  to.stamp_batch = bytes(plan.stamp_batch);
  to.value_batch = bytes(plan.value_batch);
  to.out_batch = bytes(plan.out_batch);
  to.value_pitch = bytes(plan.value_pitch);
  to.out_pitch = bytes(plan.out_pitch);
  to.samples = bytes(plan.samples);
  to.chunks = bytes(s.columns * static_cast<std::int64_t>(size_of(s.dtype)) / width);
  while (to.lane_bits < 5 && (1u << to.lane_bits) < to.chunks) ++to.lane_bits;
  to.stamps_ahead = plan.stamps_ahead;
  to.samples_ahead = plan.samples_ahead;
  to.interp = plan.interp;
  to.clamps = plan.clamps;
  to.checks = plan.checks;
  parameters.shifts |= plan.shift_bits != 0;
  parameters.limited |= plan.limited;
}

/// align of plain streams with short clocks.
template <class T, int N>
void align_short(const AlignArgs& args, std::span<const AlignStream> streams, const FaultSink& sink,
                 const Context& ctx) {
  ShortParameters<N> parameters;
  AlignParameters<N>& call = parameters.call;
  fill_parameters<T>(args, streams, sink, call);
  int width = 16;
  for (std::size_t i = 0; i < streams.size(); ++i) width = std::min(width, int{call.plans[i].width});
  const std::int64_t bytes = row_bytes(streams);
  const auto count = static_cast<std::int64_t>(streams.size());
  Cut cut{kPlainTile / count, kPlainCut.blocks, kPlainCut.bytes};
  if (const char* e = std::getenv("SB")) cut.blocks = std::atoi(e);  // EXPERIMENT
  if (const char* e = std::getenv("SY")) cut.bytes = std::atoi(e);   // EXPERIMENT
  const double wave = static_cast<double>(cut.blocks * processors()) / static_cast<double>(bytes);
  std::size_t clocks = 0;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    AlignPlan& plan = call.plans[i];
    plan_tiles(args, bytes, cut, wave, plan);
    plan_pieces(args, streams[i], plan);
    plan_prefetch(args, streams[i], plan);
    plan_short(args, streams, i, width, parameters);
    parameters.streams[i].clock = static_cast<std::uint32_t>(clocks);
    // A clock begins up to 16 bytes later, and is followed by what the search reads behind it.
    clocks += 16 + static_cast<std::size_t>(searched(static_cast<int>(streams[i].samples)) + 1) * sizeof(T);
  }
  const AlignPlan& front = call.plans[0];
  parameters.at = static_cast<const char*>(call.at);
  parameters.at_batch = static_cast<std::uint32_t>(call.at_batch);
  parameters.at_row = static_cast<std::uint32_t>(call.at_row);
  parameters.targets = static_cast<std::uint32_t>(args.targets);
  parameters.batch = call.batch;
  parameters.tile = front.tile;
  parameters.tiles = front.tiles;
  parameters.last_tile = front.last_tile;
  parameters.count = static_cast<std::uint32_t>(count);
  parameters.relative = call.origin != nullptr;
  launch_align_short<T>(parameters, short_words(streams), width, clocks, ctx.stream);
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
    if (kernel == Kernel::plain && are_short<T>(args, streams)) {
      if (streams.size() == 1)
        align_short<T, 1>(args, streams, sink, ctx);
      else
        align_short<T, kShortStreams>(args, streams, sink, ctx);
    } else if ((kernel == Kernel::plain && streams.size() == 1) || is_one_curve(kernel, streams))
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
