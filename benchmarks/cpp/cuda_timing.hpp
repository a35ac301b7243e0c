#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include "cuda/error.hpp"

// Device times, by events around the replays of a graph.
namespace bench {

using robocache::cuda::check;

inline constexpr std::size_t kWorkingSet =
    160'000'000;  ///< bytes that a graph walks through: the H200's L2 holds 60 MB

struct Time {
  double median_us, low_us, high_us;
};

inline Time summary(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t n = samples.size();
  return {samples[n / 2], samples[n / 10], samples[n - 1 - n / 10]};
}

/// Device time of `work`, after five rounds to warm up.
inline Time timed(int rounds, cudaStream_t stream, const std::function<void()>& work) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  check("benchmark", cudaEventCreate(&begin));
  check("benchmark", cudaEventCreate(&end));
  std::vector<double> samples;
  for (int i = 0; i < rounds + 5; ++i) {
    check("benchmark", cudaEventRecord(begin, stream));
    work();
    check("benchmark", cudaEventRecord(end, stream));
    check("benchmark", cudaEventSynchronize(end));
    float ms = 0;
    check("benchmark", cudaEventElapsedTime(&ms, begin, end));
    if (i >= 5) samples.push_back(1000.0 * ms);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return summary(samples);
}

/// Device time of one launch: a graph of at least 24 launches that walk through all sets, replayed.
inline Time device_time(std::size_t sets, cudaStream_t stream, const std::function<void(std::size_t)>& launch) {
  const std::size_t rounds = (23 + sets) / sets;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check("benchmark", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (std::size_t i = 0; i < rounds * sets; ++i) launch(i % sets);
  check("benchmark", cudaStreamEndCapture(stream, &graph));
  check("benchmark", cudaGraphInstantiate(&executable, graph, 0));
  Time time = timed(40, stream, [&] { check("benchmark", cudaGraphLaunch(executable, stream)); });
  for (double* us : {&time.median_us, &time.low_us, &time.high_us}) *us /= static_cast<double>(rounds * sets);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  return time;
}

}  // namespace bench
