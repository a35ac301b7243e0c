#pragma once

#include <cstdint>

#include "kernels/align.hpp"

// How one call of align is cut into thread blocks. A block serves one stream, one batch row and one tile of targets, so that
// the stream's dtype, mode and widths are uniform over it; further blocks look for unsorted stamps.
namespace robocache::cuda {

inline constexpr int kAlignThreads = 256;
inline constexpr int kAlignTile = 128;   ///< targets of a block at most
inline constexpr int kAlignWindow = 1024;  ///< stamps of a block in shared memory
inline constexpr int kAlignStreams = 64;   ///< streams of a launch at most
inline constexpr int kCheckedPerThread = 4;  ///< stamps that a thread of a checking block looks at in one pass

struct AlignStreamPlan {
  AlignStream stream;
  std::int64_t first_block = 0;  ///< of the launch
  std::int64_t check_blocks = 0;  ///< the first ones: `pieces` for each row of stamps
  std::int64_t pieces = 1;
  std::int64_t tiles = 1;  ///< blocks for each batch row
  std::int64_t tile = 1;   ///< targets of a block
  std::int64_t chunks = 0;  ///< accesses for each row
  std::int64_t value_chunk = 0;  ///< bytes from one chunk of a source row to the next
  std::int64_t value_pitch = 0;  ///< bytes from one source row to the next
  std::int32_t width = 0;        ///< bytes of a chunk; 0: elements are converted one by one
};

/// What a kernel gets, by value: N is 4, 16 or 64.
template <int N>
struct AlignParameters {
  AlignArgs call;  ///< `streams` is the host's; the kernel reads `plans`
  FaultSink sink;
  std::int32_t count = 0;         ///< plans in use
  std::int32_t first_stream = 0;  ///< number of plans[0] in the call
  AlignStreamPlan plans[N];
};

/// Launches one kernel over `blocks` blocks. `plain`: every width is 8 or 16. One instance for each stamp type and N.
template <class T, int N>
void launch_align(const AlignParameters<N>& parameters, std::int64_t blocks, bool plain, void* stream);

}  // namespace robocache::cuda
