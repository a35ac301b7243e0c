#include "kernels/cuda/align_one_curve.cuh"

namespace robocache::cuda {

template void launch_align_curves<float>(const AlignParameters<4>&, std::uint32_t, void*);
template void launch_align_curves<float>(const AlignParameters<16>&, std::uint32_t, void*);
template void launch_align_curves<float>(const AlignParameters<64>&, std::uint32_t, void*);
template void launch_align_one_curve<float>(const AlignParameters<1>&, std::uint32_t, void*);

}  // namespace robocache::cuda
