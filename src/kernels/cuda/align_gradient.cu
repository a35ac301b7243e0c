#include <algorithm>

#include "cuda/error.hpp"
#include "cuda/launch.hpp"
#include "kernels/cuda/align_gradient_kernel.hpp"
#include "math/unit_gradient.hpp"
#include "memory/buffer.hpp"

// The host side of align_gradient: which kernel gathers a stream.
namespace robocache::cuda {

namespace {

struct OrderParameters {
  AlignArgs call;
  bool* sorted;
};

/// One block a batch row: whether its targets are in order.
template <class T>
__global__ void __launch_bounds__(kGatherThreads) find_order(const OrderParameters p) {
  for (std::int64_t b = blockIdx.x; b < p.call.batch; b += gridDim.x) {
    const RowTargets<T> target(p.call, b);
    bool disorder = false;
    for (std::int64_t t = threadIdx.x; t + 1 < p.call.targets; t += kGatherThreads) {
      disorder = disorder || !(target(t) <= target(t + 1));
    }
    const bool any = __syncthreads_or(disorder) != 0;
    if (threadIdx.x == 0) p.sorted[b] = !any;
  }
}

void launch_order(const OrderParameters& p, void* stream) {
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>(p.call.batch, 1 << 16));
  with_time_type(p.call.time,
                 [&]<class T>() { launch("align_gradient", find_order<T>, dim3(blocks), kGatherThreads, stream, p); });
}

bool is_weights_gather(const AlignStream& a) {
  const bool same_precision = a.dtype == DType::f64 || !needs_f64(a.place.interp);
  return has_weights(a.place.interp) && same_precision && a.missing == Missing::propagate && a.out_dtype == a.dtype;
}

}  // namespace

void align_gradient(const AlignGradientArgs& args, const Context& ctx) {
  int device = 0;
  check("align_gradient", cudaGetDevice(&device));
  MemoryResource& scratch = ctx.scratch != nullptr ? *ctx.scratch : device_memory(device);
  const Buffer sorted(scratch, static_cast<std::size_t>(args.call.batch), ctx.stream);
  if (args.call.batch > 0) launch_order({args.call, static_cast<bool*>(sorted.data())}, ctx.stream);
  for (const AlignGradientStream& stream : args.streams) {
    const GatherParameters parameters{args.call, stream, static_cast<const bool*>(sorted.data())};
    if (is_weights_gather(stream.align)) {
      launch_weights_gather(parameters, ctx.stream);
    } else {
      launch_units_gather(parameters, ctx.stream);
    }
  }
}

}  // namespace robocache::cuda
