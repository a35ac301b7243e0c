#include "kernels/cuda/align_general.cuh"

namespace robocache::cuda {

template void launch_align_general<std::int64_t>(const AlignParameters<4>&, std::uint32_t, void*);
template void launch_align_general<std::int64_t>(const AlignParameters<64>&, std::uint32_t, void*);

}  // namespace robocache::cuda
