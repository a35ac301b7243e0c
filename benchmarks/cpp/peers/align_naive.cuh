#pragma once

#include <cuda_bf16.h>

#include <cstdint>

// The plain way to align on a GPU: one thread for each output element searches its stream, blends and stores. Values
// are float or bf16; outside the range the end sample is held; valid and age_ns (int64 ns stamps only) as RoboCache
// defines them.
namespace peers {

template <class Value, class Time>
struct NaiveStream {
  const Value* values;  ///< [B, S, D]
  const Time* stamps;   ///< [B, S]
  int samples;
  int columns;
  int first_column;  ///< in the output row
};

template <class Value, class Time>
struct NaiveAlign {
  NaiveStream<Value, Time> streams[4];
  int count;
  const Time* at;  ///< [B, T]
  int batch, targets, columns;
  Value* out;            ///< [B, T, columns]
  bool* valid;           ///< [B, T, count] or null
  std::int64_t* age_ns;  ///< [B, T, count] or null
};

template <class Value, class Time>
__global__ void align_naive(const __grid_constant__ NaiveAlign<Value, Time> a) {
  const std::int64_t element = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (element >= static_cast<std::int64_t>(a.batch) * a.targets * a.columns) return;
  const std::int64_t row = element / a.columns;
  const int column = static_cast<int>(element - row * a.columns);
  const int b = static_cast<int>(row / a.targets);
  int n = 0;
  while (n + 1 < a.count && column >= a.streams[n + 1].first_column) ++n;
  const NaiveStream<Value, Time>& s = a.streams[n];
  const Time* stamps = s.stamps + static_cast<std::int64_t>(b) * s.samples;
  const Time t = a.at[row];
  int first = 0;
  int last = s.samples;
  while (first < last) {
    const int middle = (first + last) / 2;
    if (stamps[middle] <= t)
      first = middle + 1;
    else
      last = middle;
  }
  const int i = first - 1;
  const int held = i < 0 ? 0 : i;
  const int d = column - s.first_column;
  const bool inside = i >= 0 && (i + 1 < s.samples || stamps[i] == t);
  const Value* values = s.values + (static_cast<std::int64_t>(b) * s.samples + held) * s.columns + d;
  float value = static_cast<float>(values[0]);
  if (inside && stamps[i] != t) {
    const double width = static_cast<double>(stamps[i + 1] - stamps[i]);
    const float w = static_cast<float>(static_cast<double>(t - stamps[i]) / width);
    value = value + w * (static_cast<float>(values[s.columns]) - value);
  }
  a.out[element] = static_cast<Value>(value);
  if (d != 0) return;
  if (a.valid != nullptr) a.valid[row * a.count + n] = inside;
  if (a.age_ns != nullptr) a.age_ns[row * a.count + n] = static_cast<std::int64_t>(t - stamps[held]);
}

}  // namespace peers
