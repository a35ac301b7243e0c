#include "kernels/cuda/align_short.cuh"

namespace robocache::cuda {

template void launch_align_short<float>(const ShortParameters<1>&, DType, int, std::size_t, void*);
template void launch_align_short<float>(const ShortParameters<kShortStreams>&, DType, int, std::size_t, void*);

}  // namespace robocache::cuda
