#pragma once

#include <cstdint>

#include "kernels/cuda/align_plan.hpp"

// align of a few plain streams whose clocks are short, which is most of what robots log: a block serves a tile of
// targets in all streams, and has all their stamps in shared memory. Such a call is over in a few microseconds, which
// is as long as its instructions wait for each other. So what the common target needs stands apart, in 32 bits where
// that does, and a kernel is made for each kind of words and width of access. On H200 (bench align_cuda) FIGURES over a
// block for each stream that asks the call what it is.
namespace robocache::cuda {

inline constexpr int kShortStreams = 4;

/// Pitches are bytes.
struct ShortStream {
  const char* stamps = nullptr;
  const char* values = nullptr;
  char* out = nullptr;
  std::uint32_t stamp_batch = 0, value_batch = 0, out_batch = 0;
  std::uint32_t value_pitch = 0, out_pitch = 0;
  std::uint32_t samples = 0;
  std::uint32_t chunks = 0;     ///< accesses for each row
  std::uint32_t lane_bits = 0;  ///< as in AlignPlan
  std::uint32_t clock = 0;      ///< where its stamps are in shared memory, bytes
  std::uint32_t stamps_ahead = 0, samples_ahead = 0;
  Interp interp = Interp::hold;
  bool clamps = false;
  bool checks = false;
};

/// What the kernel gets, by value. `call` is for what few targets need.
template <int N>
struct ShortParameters {
  const char* at = nullptr;
  std::uint32_t at_batch = 0, at_row = 0;  ///< bytes
  std::uint32_t targets = 0;
  std::uint32_t batch = 0;
  std::uint32_t tile = 0, tiles = 0, last_tile = 0;  ///< targets of a block, blocks of a batch row
  std::uint32_t count = 0;                           ///< of streams
  bool relative = false;                             ///< there is an origin
  bool shifts = false;                               ///< a stream has an offset
  bool limited = false;                              ///< a stream's gaps or ages have limits
  ShortStream streams[N];
  AlignParameters<N> call;
};

/// One instance for each stamp type, kind of words (DType: f32, f16, bf16), width (8, 16) and N (1, kShortStreams).
/// `clocks`: bytes of shared memory for the stamps of all streams.
template <class T, int N>
void launch_align_short(const ShortParameters<N>& parameters, DType words, int width, std::size_t clocks, void* stream);

}  // namespace robocache::cuda
