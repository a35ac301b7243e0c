#pragma once

#include "kernels/align_gradient.hpp"

namespace robocache::cuda {

/// The parameter of the kernels that gather the gradient of one stream.
struct GatherParameters {
  AlignArgs call;
  AlignGradientStream stream;
  const bool* sorted = nullptr;  ///< [B]: whether a batch row's targets are in order
  std::uint32_t lane_bits = 0;   ///< log2 of the threads of a row of samples
  std::uint32_t chunks = 0;      ///< accesses of a row
};

/// For any stream: a thread an element.
void launch_units_gather(const GatherParameters& parameters, void* stream);

/// For hold, nearest and linear (and angle in f64) without a policy for missing samples, where grad_out is of the type of the values:
/// threads side by side read rows of grad_out.
void launch_weights_gather(GatherParameters parameters, void* stream);

inline constexpr unsigned kGatherThreads = 256;

}  // namespace robocache::cuda
