#include "kernels/cuda/align_kernel.cuh"

namespace robocache::cuda {

template void launch_align<float>(const AlignParameters<1>&, std::uint32_t, void*);
template void launch_align<float>(const AlignParameters<4>&, std::uint32_t, void*);
template void launch_align<float>(const AlignParameters<16>&, std::uint32_t, void*);
template void launch_align<float>(const AlignParameters<64>&, std::uint32_t, void*);

}  // namespace robocache::cuda
