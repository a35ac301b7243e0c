// The CUDA kernel against the CPU's, bit for bit, on random layouts (the same that the CPU is held to an oracle with)
// and on sizes where a block's window of stamps matters.
#include <algorithm>
#include <cmath>
#include <random>

#include "align_random_cuda.hpp"
#include "cuda/status.hpp"
#include "robocache/align.hpp"

namespace robocache {
namespace {

using namespace cuda_testing;

class CudaAlign : public CudaTest {};

TEST_F(CudaAlign, RandomLayoutsAreBitEqualToTheCpu) {
  Arena arena(std::size_t{64} << 20);
  for (unsigned seed = 0; seed < 1200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const align_random::Case c = align_random::make_case(seed);
    expect_equal_to_cpu(c, arena);
    if (HasFatalFailure()) return;
  }
}

/// One stream and its targets in host memory; sizes that make a block narrow its window, or give up narrowing.
struct LongLog {
  std::int64_t samples, targets, columns;
  std::vector<std::int64_t> stamps, at;
  std::vector<float> values;

  LongLog(unsigned seed, std::int64_t s, std::int64_t t, std::int64_t d, bool sorted, double reach)
      : samples(s), targets(t), columns(d) {
    std::mt19937_64 random(seed);
    std::int64_t stamp = align_random::kEpoch;
    for (std::int64_t i = 0; i < samples; ++i) {
      stamps.push_back(stamp);
      // Duplicates, runs of them longer than a block's window now and then, and gaps.
      if (random() % 4 != 0 && (seed % 3 != 0 || i % 5000 > 2500)) stamp += static_cast<std::int64_t>(random() % 2000);
      if (random() % 1000 == 0) stamp += 1'000'000;
    }
    const double span = static_cast<double>(stamp - align_random::kEpoch + 1) * reach;
    for (std::int64_t k = 0; k < targets; ++k) {
      const double share = static_cast<double>(random() % 1'000'001) / 1e6;
      at.push_back(random() % 3 == 0 ? stamps[random() % stamps.size()]
                                     : align_random::kEpoch + static_cast<std::int64_t>((share * 1.1 - 0.05) * span));
    }
    if (sorted) std::sort(at.begin(), at.end());
    for (std::int64_t i = 0; i < samples * columns; ++i) values.push_back(static_cast<float>(random() % 65536) / 7.0F);
  }

  [[nodiscard]] Stream stream(const float* v, const std::int64_t* s, Device device, Interp interp) const {
    Stream stream;
    stream.values = {v, DType::f32, {1, samples, columns}, device};
    stream.stamps = {s, DType::i64, {1, samples}, device};
    stream.interp = interp;
    stream.before = stream.after = {Outside::Policy::extrapolate};
    return stream;
  }
};

TEST_F(CudaAlign, LongLogsAreBitEqualToTheCpu) {
  Arena arena(std::size_t{256} << 20);
  unsigned seed = 0;
  for (const std::int64_t samples : {1023, 1024, 1025, 4096, 70'001, 300'000}) {
    for (const std::int64_t targets : {1, 1, 50, 50, 1000, 1000, 70'000, 70'000}) {
      for (const bool sorted : {true, false}) {
        for (const double reach : {1.0, 0.01}) {
          const Interp interp = seed % 3 == 0 ? Interp::linear : seed % 3 == 1 ? Interp::nearest : Interp::hold;
          SCOPED_TRACE("S=" + std::to_string(samples) + " T=" + std::to_string(targets) + (sorted ? " sorted " : " ") +
                       std::to_string(reach));
          const std::int64_t columns = 3 + seed / 4 % 2;  // four are plain, three are not
          const LongLog log(seed++, samples, targets, columns, sorted, reach);
          const auto rows = static_cast<std::size_t>(targets);
          std::vector<float> want(rows * static_cast<std::size_t>(columns), -1);
          std::vector<std::int64_t> want_age(rows, -1);
          align({{log.stream(log.values.data(), log.stamps.data(), {}, interp)}},
                ConstTensor(log.at.data(), DType::i64, {1, targets}),
                {{Tensor(want.data(), DType::f32, {1, targets, columns})}}, {},
                Tensor(want_age.data(), DType::i64, {1, targets, 1}));
          arena.reset();
          const Stream stream = log.stream(arena.copy(log.values), arena.copy(log.stamps), kGpu, interp);
          float* const out = arena.copy(std::vector<float>(want.size(), -1));
          std::int64_t* const age = arena.copy(std::vector<std::int64_t>(rows, -1));
          align({{stream}}, ConstTensor(arena.copy(log.at), DType::i64, {1, targets}, kGpu),
                {{Tensor(out, DType::f32, {1, targets, columns}, kGpu)}}, {},
                Tensor(age, DType::i64, {1, targets, 1}, kGpu), DataCheck::now);
          ASSERT_EQ(to_host(out, want.size()), want);
          ASSERT_EQ(to_host(age, rows), want_age);
        }
      }
    }
  }
}

/// Targets that are sorted as they are given, but not on the clock: the last ones are carried over the end of int64 and
/// lie before all samples.
TEST_F(CudaAlign, AnOriginMayCarryTargetsOverTheEnd) {
  constexpr std::int64_t kSamples = 2000;
  constexpr std::int64_t kTargets = 100;
  constexpr std::int64_t kExa = 1'000'000'000'000'000'000;
  Arena arena(1 << 20);
  const std::vector<std::int64_t> origin{kExa};
  std::vector<std::int64_t> stamps, at;
  std::vector<float> values;
  for (std::int64_t s = 0; s < kSamples; ++s) {
    stamps.push_back(s * (3 * kExa / 1000) - 3 * kExa);
    values.insert(values.end(), 4, static_cast<float>(s));
  }
  for (std::int64_t t = 0; t < kTargets; ++t) at.push_back(t < 80 ? t * kExa / 1000 : 9 * kExa + t);
  const auto out_of = [&](Device device, auto copy, float* out) {
    Stream stream;
    stream.values = {copy(values), DType::f32, {1, kSamples, 4}, device};
    stream.stamps = {copy(stamps), DType::i64, {1, kSamples}, device};
    resample(stream, {{copy(at), DType::i64, {1, kTargets}, device}, {copy(origin), DType::i64, {1}, device}},
             Tensor(out, DType::f32, {1, kTargets, 4}, device));
  };
  std::vector<float> want(4 * kTargets, -1);
  out_of({}, [](const auto& v) { return v.data(); }, want.data());
  float* const out = arena.copy(std::vector<float>(want.size(), -1));
  out_of(kGpu, [&](const auto& v) { return arena.copy(v); }, out);
  EXPECT_EQ(to_host(out, want.size()), want);
}

/// A captured call runs again on what its inputs hold by then, on a stream of the caller's.
TEST_F(CudaAlign, CanBeCapturedAndReplayed) {
  Arena arena(1 << 20);
  const std::vector<std::int64_t> stamps{0, 10, 20};
  const std::vector<std::int64_t> at{5, 15};
  float* const values = arena.copy(std::vector<float>{0, 1, 2});
  float* const out = arena.copy(std::vector<float>{-1, -1});
  Stream stream;
  stream.values = {values, DType::f32, {1, 3, 1}, kGpu};
  stream.stamps = {arena.copy(stamps), DType::i64, {1, 3}, kGpu};
  const ConstTensor targets(arena.copy(at), DType::i64, {1, 2}, kGpu);
  const Tensor result(out, DType::f32, {1, 2, 1}, kGpu);
  cudaStream_t queue = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(queue, cudaStreamCaptureModeGlobal), cudaSuccess);
  resample(stream, targets, result, DataCheck::automatic, {.stream = queue});
  ASSERT_EQ(cudaStreamEndCapture(queue, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_EQ(to_host(out, 2), (std::vector<float>{-1, -1})) << "ran while it was captured";
  for (const float scale : {1.0F, 10.0F}) {
    const std::vector<float> content{0, scale, 2 * scale};
    ASSERT_EQ(cudaMemcpy(values, content.data(), 12, cudaMemcpyHostToDevice), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(executable, queue), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(queue), cudaSuccess);
    EXPECT_EQ(to_host(out, 2), (std::vector<float>{0.5F * scale, 1.5F * scale}));
  }
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(queue);
}

}  // namespace
}  // namespace robocache
