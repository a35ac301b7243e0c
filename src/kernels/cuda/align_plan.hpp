#pragma once

#include <cstdint>

#include "kernels/align.hpp"

// How one call of align is cut into thread blocks: block (x, y, z) serves one piece of one stream (x) for one batch row
// (y, z). A piece is a tile of targets and a share of the stamps to look at, so dtype, mode and widths are uniform over
// a block.
//
// align is short: what counts is how soon a block's first loads leave, and how many instructions and lines of
// parameters it must fetch on its way. So the host computes all that blocks have in common, in bytes and in order of
// use.
namespace robocache::cuda {

inline constexpr int kAlignThreads = 128;
inline constexpr int kAlignTile = 64;  ///< targets of a block at most: the other threads look for unsorted stamps
/// The same of plain streams. 1.05x to 1.15x over 128 threads on H200 (bench align_cuda, all but the middle fusions): half
/// as many blocks read a segment's stamps.
inline constexpr int kPlainThreads = 256;
inline constexpr int kPlainTile = kPlainThreads;
inline constexpr int kAlignWindow =
    1023;  ///< stamps of a block in shared memory: what five rounds of a 4-way search cover
inline constexpr int kAlignStreams = 64;  ///< runs of streams of a launch at most
inline constexpr std::uint8_t kNoRun = 255;

/// What a block needs of its stream. Batches and pitches are bytes.
struct AlignPlan {
  std::uint32_t tile = 1;       ///< targets of a piece
  std::uint32_t tiles = 0;      ///< pieces that have targets
  std::uint32_t last_tile = 1;  ///< targets of the last of these
  const void* stamps = nullptr;
  std::int64_t stamp_batch = 0;
  std::int64_t stamp_row = 0;
  std::int64_t samples = 0;
  std::int64_t shift_bits = 0;  ///< what is added to each stamp, in its type
  std::int64_t value_pitch = 0;
  const void* values = nullptr;
  std::int64_t value_batch = 0;
  void* out = nullptr;
  std::int64_t out_batch = 0;
  std::int64_t out_pitch = 0;
  std::uint32_t chunks = 0;    ///< accesses for each row
  std::uint8_t lane_bits = 0;  ///< 2^lane_bits threads take a row of up to 32 chunks
  std::uint8_t width = 0;      ///< bytes of a chunk; 0: elements are converted one by one
  DType dtype = DType::f32;
  Interp interp = Interp::hold;
  bool indirect = false;           ///< rows, lengths or offsets are given
  bool checks = false;             ///< blocks look for unsorted stamps
  bool shared_clock = false;       ///< one segment of stamps for the whole batch
  bool limited = false;            ///< gaps or ages have limits
  bool clamps = false;             ///< targets outside the stamps take the end samples
  std::uint32_t number = 0;        ///< of the stream: in faults, and its column of valid and age_ns
  std::uint32_t pieces = 0;        ///< blocks for each batch row
  std::uint32_t stamps_ahead = 0;  ///< of a segment, that each piece of a plain stream prefetches
  std::uint32_t samples_ahead = 0;
  std::int64_t value_chunk = 0;  ///< bytes from one chunk of a sample to the next
  // Of streams that are not plain. The blocks of a stream's first run serve them all.
  std::uint8_t runs = 1;                                 ///< of the stream, from here on
  std::uint8_t class_run[3] = {kNoRun, kNoRun, kNoRun};  ///< its first that holds, takes the nearest, is a curve
  bool shoulders = false;                                ///< of curves, the samples beside an interval count, too
  bool signs = false;                                    ///< a run has quaternions
  std::uint32_t units = 0;                               ///< of this run
  std::uint8_t* turned =
      nullptr;  ///< [B, tiles, units] of this run: what its tiles tell each other; null: there is one
};

/// [B, T, streams], by strides in elements; null: not wanted.
template <class T>
struct Column {
  T* data = nullptr;
  std::int64_t batch = 0, row = 0, stream = 0;

  /// For the streams of number `n`.
  [[nodiscard]] ROBOCACHE_HD T& at(std::int64_t b, std::int64_t t, std::int64_t n) const {
    return data[b * batch + t * row + n * stream];
  }
};

/// What a kernel gets, by value: N, a power of two, is 1, 4, 16 or 64. Streams of several runs take 16 or 64.
template <int N>
struct AlignParameters {
  const void* at = nullptr;
  std::int64_t at_batch = 0, at_row = 0;  ///< bytes
  std::int64_t targets = 0;
  std::uint32_t batch = 0;
  bool second = false;  ///< launch: only turns quaternions
  Column<bool> valid;
  Column<std::int64_t> age_ns;
  const void* origin = nullptr;
  std::int64_t origin_row = 0;
  std::uint32_t first_blocks[N];  ///< x of each stream's first block; UINT32_MAX: no stream
  AlignPlan plans[N];
  AlignStream streams[N];
  FaultSink sink;
};

/// Launches one kernel over `blocks` blocks for each batch row; for plain streams only, those of widths 8 and 16. One
/// instance for each stamp type and N.
template <class T, int N>
void launch_align(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream);

/// The same for one stream with a clock of up to kAlignWindow stamps side by side, and pitches of less than 2^31 bytes
/// (align.cu, is_short).
template <class T>
void launch_align_short(const AlignParameters<1>& parameters, std::uint32_t blocks, void* stream);

/// The same for streams with runs, curves, rotations or plans of which all is alike, side by side and aligned.
template <class T, int N>
void launch_align_curves(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream);

/// The same for one stream that is pchip, angle, slerp or se3, and nothing else.
template <class T>
void launch_align_one_curve(const AlignParameters<1>& parameters, std::uint32_t blocks, void* stream);

/// Its blocks that fit a processor: what the registers that it takes leave.
constexpr int curve_blocks(Interp interp, DType dtype) { return interp == Interp::se3 && dtype == DType::f32 ? 5 : 8; }

/// The same for streams of any kind.
template <class T, int N>
void launch_align_general(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream);

}  // namespace robocache::cuda
