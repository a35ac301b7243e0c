#include "kernels/cuda/align_short.cuh"

namespace robocache::cuda {

template void launch_align_short<double>(const AlignParameters<1>&, std::uint32_t, void*);

}  // namespace robocache::cuda
