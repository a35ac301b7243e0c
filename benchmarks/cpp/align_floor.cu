#include <cuda_bf16.h>

#include <cstdint>
#include <cstdio>

#include "align_sets.hpp"
#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "cuda_timing.hpp"

// How fast rows can be put at new times at all: kernels that blend bf16 rows whose places take no search, because
// stamps and targets are even, on the shapes of bench_align_cuda. Beside them an empty kernel, and the same rows behind
// one read that they depend on, as a search has one at least. No result means anything: these are no implementations of
// align.
namespace {

using bench::DeviceArray;
using bench::Shape;
using robocache::cuda::await_earlier;
using robocache::cuda::check;
using robocache::cuda::prefetch;
using robocache::cuda::Start;
using robocache::cuda::start_next;

constexpr int kThreads = 256;
constexpr float kWeight = 0.3F;

const std::vector<Shape> kShapes = {
    {"32x500->256x256", 32, 256, {{500, 256}}},     {"256x500->250x32", 256, 250, {{500, 32}}},
    {"64x4096->1024x32", 64, 1024, {{4096, 32}}},   {"64x1000->512x512", 64, 512, {{1000, 512}}},
    {"8x250->128x128", 8, 128, {{250, 128}}},       {"256x1000->512x512", 256, 512, {{1000, 512}}},
    {"1024x1000->500x32", 1024, 500, {{1000, 32}}},
};

/// One call; a row takes `chunks` of 16 bytes.
struct Rows {
  const uint4* values;
  uint4* out;
  const std::int64_t* stamps;  ///< null: nothing is read before the rows
  std::int64_t batch, samples, targets, chunks;
  bool ahead;  ///< asks for the samples while the kernel before still runs
};

__device__ unsigned blend(unsigned a, unsigned b) {
  constexpr float w = kWeight;
  const float low = __uint_as_float(a << 16);
  const float high = __uint_as_float(a & 0xffff0000U);
  const __nv_bfloat162 packed = __floats2bfloat162_rn(low + w * (__uint_as_float(b << 16) - low),
                                                      high + w * (__uint_as_float(b & 0xffff0000U) - high));
  return reinterpret_cast<const unsigned&>(packed);
}

/// kInFlight chunks of a thread are loaded before the first is stored.
template <int kInFlight>
__global__ void __launch_bounds__(kThreads, kInFlight > 2 ? 4 : 5) move_rows(const __grid_constant__ Rows call) {
  start_next();
  const std::int64_t all = call.batch * call.targets * call.chunks;
  const std::int64_t first = std::int64_t{blockIdx.x} * kInFlight * kThreads + threadIdx.x;
  if (call.ahead && threadIdx.x == 0) {
    const std::int64_t share = call.batch * call.samples * call.chunks / gridDim.x;
    prefetch(reinterpret_cast<const char*>(call.values + blockIdx.x * share), share * std::int64_t{sizeof(uint4)});
  }
  await_earlier();
  std::int64_t skip = 0;
  if (call.stamps != nullptr) skip = __ldg(call.stamps + first / call.chunks) < 0 ? 1 : 0;
  uint4 a[kInFlight], b[kInFlight];
#pragma unroll
  for (int k = 0; k < kInFlight; ++k) {
    const std::int64_t at = min(first + k * kThreads, all - 1);
    const std::int64_t row = at / call.chunks;
    const std::int64_t t = row % call.targets;
    const std::int64_t sample = min(t * call.samples / call.targets + skip, call.samples - 2);
    const uint4* const from =
        call.values + ((row / call.targets) * call.samples + sample) * call.chunks + at % call.chunks;
    a[k] = __ldg(from);
    b[k] = __ldg(from + call.chunks);
  }
#pragma unroll
  for (int k = 0; k < kInFlight; ++k) {
    const std::int64_t at = first + k * kThreads;
    if (at >= all) break;
    call.out[at] = {blend(a[k].x, b[k].x), blend(a[k].y, b[k].y), blend(a[k].z, b[k].z), blend(a[k].w, b[k].w)};
  }
}

__global__ void do_nothing(const __grid_constant__ Rows) {
  start_next();
  await_earlier();
}

/// The inputs and outputs of as many calls as no L2 holds.
struct Sets {
  std::vector<DeviceArray<uint4>> values, out;
  DeviceArray<std::int64_t> stamps;
  std::vector<Rows> calls;

  explicit Sets(const Shape& shape) : stamps(static_cast<std::size_t>(shape.batch * shape.targets) + kThreads) {
    const std::int64_t samples = shape.sources[0].samples;
    const std::int64_t chunks = shape.columns() * shape.value_bytes() / std::int64_t{sizeof(uint4)};
    const auto in = static_cast<std::size_t>(shape.batch * samples * chunks);
    const auto made = static_cast<std::size_t>(shape.batch * shape.targets * chunks);
    check("benchmark", cudaMemset(stamps.data(), 0, stamps.bytes()));
    const std::size_t count = std::max<std::size_t>(3, bench::kWorkingSet / ((in + made) * sizeof(uint4)) + 1);
    for (std::size_t i = 0; i < count; ++i) {
      values.emplace_back(in);
      out.emplace_back(made);
      check("benchmark", cudaMemset(values[i].data(), 0x3c, values[i].bytes()));
      calls.push_back({values[i].data(), out[i].data(), nullptr, shape.batch, samples, shape.targets, chunks, false});
    }
  }
};

template <int kInFlight>
double us(Sets& sets, bool ahead, bool reads, cudaStream_t stream) {
  for (Rows& call : sets.calls) {
    call.ahead = ahead;
    call.stamps = reads ? sets.stamps.data() : nullptr;
  }
  const auto launch = [&](std::size_t i) {
    const Rows& call = sets.calls[i];
    const std::int64_t all = call.batch * call.targets * call.chunks;
    const dim3 grid(static_cast<unsigned>((all + kInFlight * kThreads - 1) / (kInFlight * kThreads)));
    robocache::cuda::launch("benchmark", move_rows<kInFlight>, grid, kThreads, stream, call, Start::early);
  };
  return bench::device_time(sets.calls.size(), stream, launch).median_us;
}

/// The best of one, two and four chunks in flight, with and without asking ahead.
double best_us(Sets& sets, bool reads, cudaStream_t stream) {
  double best = 1e9;
  for (const bool ahead : {false, true}) {
    best = std::min({best, us<1>(sets, ahead, reads, stream), us<2>(sets, ahead, reads, stream),
                     us<4>(sets, ahead, reads, stream)});
  }
  return best;
}

}  // namespace

int main() {
  cudaStream_t stream = nullptr;
  check("benchmark", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  std::printf("us                     nothing   rows   rows behind one read\n");
  for (const Shape& shape : kShapes) {
    Sets sets(shape);
    const auto empty = [&](std::size_t i) {
      robocache::cuda::launch("benchmark", do_nothing, dim3(132), kThreads, stream, sets.calls[i], Start::early);
    };
    const double nothing = bench::device_time(sets.calls.size(), stream, empty).median_us;
    std::printf("%-20s %9.2f %6.2f %22.2f\n", shape.name, nothing, best_us(sets, false, stream),
                best_us(sets, true, stream));
  }
  return 0;
}
