#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "align_sets.hpp"
#include "cuda/error.hpp"
#include "cuda_timing.hpp"
#include "peers/align_naive.cuh"
#include "robocache/robocache.hpp"

// align on CUDA: device time by replaying a graph over rotating buffers (more than the L2 holds), beside a plain kernel
// with the same semantics, and the time of a C++ call. Prints a table; `--json FILE` keeps every number.
namespace {

using bench::device_time;
using bench::DeviceArray;
using bench::Set;
using bench::Shape;
using bench::Source;
using bench::summary;
using bench::Time;
using bench::timed;
using robocache::Device;
using robocache::DeviceKind;
using robocache::DType;
using robocache::cuda::check;

constexpr Device kGpu{DeviceKind::cuda, 0};

const std::vector<Source> kFusion = {{30, 512}, {100, 64}, {200, 12}};
const std::vector<Shape> kShapes = {
    {"32x500->256x256", 32, 256, {{500, 256}}},
    {"256x500->250x32", 256, 250, {{500, 32}}},
    {"64x4096->1024x32", 64, 1024, {{4096, 32}}},
    {"64x4096->1024x32", 64, 1024, {{4096, 32}}, DType::f32},
    {"64x1000->512x512", 64, 512, {{1000, 512}}},
    {"8x250->128x128", 8, 128, {{250, 128}}},
    {"256x1000->512x512", 256, 512, {{1000, 512}}},
    {"1024x1000->500x32", 1024, 500, {{1000, 32}}},
    {"fusion B=4", 4, 50, kFusion},
    {"fusion B=64", 64, 50, kFusion},
    {"fusion B=256", 256, 50, kFusion},
    {"fusion B=1024", 1024, 50, kFusion},
    {"wide fusion B=256", 256, 128, {{100, 512}, {200, 128}, {300, 64}}},
};

/// What to run: with or without valid and age_ns, with or without looking for unsorted stamps, with which stamps.
struct Mode {
  const char* name;
  bool marks;
  robocache::DataCheck check;
  DType time;  ///< i64 or f32
};
const Mode kModes[] = {{"resample", false, robocache::DataCheck::automatic, DType::i64},
                       {"resample, f32 stamps", false, robocache::DataCheck::automatic, DType::f32},
                       {"resample, check off", false, robocache::DataCheck::off, DType::i64},
                       {"align", true, robocache::DataCheck::automatic, DType::i64}};

/// A call of ours, ready to be made again and again.
class Call {
 public:
  Call(const Shape& shape, const Set& set, const Mode& mode)
      : check_(mode.check),
        at_(robocache::Tensor(mode.time == DType::f32 ? static_cast<void*>(set.at_s.data()) : set.at.data(), mode.time,
                              {shape.batch, shape.targets}, kGpu)),
        out_(set.out.data(), shape.dtype, {shape.batch, shape.targets, shape.columns()}, kGpu) {
    for (std::size_t n = 0; n < shape.sources.size(); ++n) {
      const Source& s = shape.sources[n];
      void* const stamps = mode.time == DType::f32 ? static_cast<void*>(set.stamps_s[n].data()) : set.stamps[n].data();
      robocache::Stream stream;
      stream.values = {set.values[n].data(), shape.dtype, {shape.batch, s.samples, s.columns}, kGpu};
      stream.stamps = {stamps, mode.time, {shape.batch, s.samples}, kGpu};
      streams_.push_back(stream);
    }
    if (!mode.marks) return;
    const auto n = static_cast<std::int64_t>(shape.sources.size());
    valid_ = {set.valid.data(), DType::boolean, {shape.batch, shape.targets, n}, kGpu};
    age_ = {set.age_ns.data(), DType::i64, {shape.batch, shape.targets, n}, kGpu};
  }

  void operator()(cudaStream_t stream) const {
    robocache::align(streams_, at_, {&out_, 1}, valid_, age_, check_, {.stream = stream});
  }

 private:
  robocache::DataCheck check_;
  std::vector<robocache::Stream> streams_;
  robocache::ConstTensor at_;
  robocache::Tensor out_, valid_, age_;
};

template <class Value, class Time>
void naive(const Shape& shape, const Set& set, const std::vector<DeviceArray<Time>>& stamps,
           const DeviceArray<Time>& at, bool marks, cudaStream_t stream) {
  peers::NaiveAlign<Value, Time> a{};
  a.count = static_cast<int>(shape.sources.size());
  a.batch = static_cast<int>(shape.batch);
  a.targets = static_cast<int>(shape.targets);
  for (int n = 0; n < a.count; ++n) {
    const auto at_n = static_cast<std::size_t>(n);
    const Source& s = shape.sources[at_n];
    a.streams[n] = {reinterpret_cast<const Value*>(set.values[at_n].data()), stamps[at_n].data(),
                    static_cast<int>(s.samples), static_cast<int>(s.columns), a.columns};
    a.columns += static_cast<int>(s.columns);
  }
  a.at = at.data();
  a.out = reinterpret_cast<Value*>(set.out.data());
  if (marks) {
    a.valid = reinterpret_cast<bool*>(set.valid.data());
    a.age_ns = set.age_ns.data();
  }
  const std::int64_t elements = shape.batch * shape.targets * a.columns;
  peers::align_naive<<<static_cast<unsigned>((elements + 255) / 256), 256, 0, stream>>>(a);
  check("benchmark", cudaGetLastError());
}

void naive(const Shape& shape, const Set& set, const Mode& mode, cudaStream_t stream) {
  const auto with_values = [&]<class Value>() {
    if (mode.time == DType::f32) return naive<Value>(shape, set, set.stamps_s, set.at_s, mode.marks, stream);
    naive<Value>(shape, set, set.stamps, set.at, mode.marks, stream);
  };
  if (shape.dtype == DType::f32) return with_values.template operator()<float>();
  with_values.template operator()<__nv_bfloat16>();
}

/// Host time of one call that nobody waits for.
Time call_time(std::size_t sets, cudaStream_t stream, const std::function<void(std::size_t)>& launch) {
  std::vector<double> samples;
  for (int round = 0; round < 30; ++round) {
    constexpr int kCalls = 50;  // fewer than the driver queues
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) launch(static_cast<std::size_t>(i) % sets);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    check("benchmark", cudaStreamSynchronize(stream));
    if (round >= 5) samples.push_back(time.count() / kCalls);
  }
  return summary(samples);
}

/// Bytes read and written by a copy in one second.
double copy_bandwidth(cudaStream_t stream) {
  constexpr std::size_t kBytes = std::size_t{1} << 31;
  DeviceArray<char> from(kBytes);
  DeviceArray<char> to(kBytes);
  check("benchmark", cudaMemsetAsync(from.data(), 1, kBytes, stream));
  const auto copy = [&] {
    check("benchmark", cudaMemcpyAsync(to.data(), from.data(), kBytes, cudaMemcpyDeviceToDevice, stream));
  };
  return 2.0 * kBytes / timed(10, stream, copy).median_us * 1e6;
}

/// What a call left in its outputs, which held nothing but a pattern before.
struct Answer {
  std::vector<std::uint16_t> out;
  std::vector<std::uint8_t> valid;
  std::vector<std::int64_t> age_ns;

  Answer(const Set& set, cudaStream_t stream, const std::function<void()>& call) {
    for (const auto& [data, bytes] : {std::pair<void*, std::size_t>{set.out.data(), set.out.bytes()},
                                      {set.valid.data(), set.valid.bytes()},
                                      {set.age_ns.data(), set.age_ns.bytes()}}) {
      check("benchmark", cudaMemsetAsync(data, 0xff, bytes, stream));
    }
    call();
    check("benchmark", cudaStreamSynchronize(stream));
    out = set.out.host();
    valid = set.valid.host();
    age_ns = set.age_ns.host();
  }

  [[nodiscard]] std::size_t differences(const Answer& other) const {
    const auto count = [](const auto& a, const auto& b) {
      return std::inner_product(a.begin(), a.end(), b.begin(), std::size_t{0}, std::plus<>(), std::not_equal_to<>());
    };
    return count(out, other.out) + count(valid, other.valid) + count(age_ns, other.age_ns);
  }
};

/// The fewest bytes that a call can move: every stamp, each sample that a target needs, and the outputs.
double bytes_needed(const Shape& shape, const Set& set, const Mode& mode) {
  const std::int64_t stamp = mode.time == DType::f32 ? 4 : 8;
  const auto mark =
      mode.marks ? static_cast<std::int64_t>(shape.sources.size() * (sizeof(bool) + sizeof(std::int64_t))) : 0;
  const std::int64_t row = shape.columns() * shape.value_bytes() + stamp + mark;
  double bytes = set.touched_bytes + static_cast<double>(shape.batch * shape.targets * row);
  for (const Source& s : shape.sources) bytes += static_cast<double>(shape.batch * s.samples * stamp);
  return bytes;
}

void write_time(std::FILE* json, const char* name, const Time& t) {
  std::fprintf(json, "\"%s\": {\"median_us\": %.3f, \"p10_us\": %.3f, \"p90_us\": %.3f}, ", name, t.median_us, t.low_us,
               t.high_us);
}

/// The times of one shape and mode, ours and the plain kernel's, in one line and one JSON object.
void measure(const Shape& shape, const Mode& mode, const std::vector<Set>& sets, double bandwidth, cudaStream_t stream,
             std::FILE* json) {
  std::vector<Call> calls;
  for (const Set& set : sets) calls.emplace_back(shape, set, mode);
  const auto ours_on = [&](std::size_t i) { calls[i](stream); };
  const auto naive_on = [&](std::size_t i) { naive(shape, sets[i], mode, stream); };
  const Answer want(sets[0], stream, [&] { naive_on(0); });
  const std::size_t wrong = want.differences(Answer(sets[0], stream, [&] { ours_on(0); }));
  const Time plain = device_time(sets.size(), stream, naive_on);
  const Time device = device_time(sets.size(), stream, ours_on);
  const Time again = device_time(sets.size(), stream, ours_on);
  const Time call = call_time(sets.size(), stream, ours_on);
  const double bytes = bytes_needed(shape, sets[0], mode);
  const double floor_us = bytes / bandwidth * 1e6;
  const std::string name = std::string(shape.dtype == DType::f32 ? "f32 " : "") + mode.name;
  std::printf(
      "%-20s %-20s %7.2f %7.2f us  naive %7.2f (%4.1fx)  call %5.2f us  %6.2f MB: %5.2f us at copy speed, %3.0f%%",
      shape.name, name.c_str(), device.median_us, again.median_us, plain.median_us, plain.median_us / device.median_us,
      call.median_us, bytes / 1e6, floor_us, 100 * floor_us / device.median_us);
  std::printf("  %zu wrong\n", wrong);
  if (json == nullptr) return;
  std::fprintf(json, "    {\"shape\": \"%s\", \"mode\": \"%s\", ", shape.name, name.c_str());
  write_time(json, "device", device);
  write_time(json, "device_again", again);
  write_time(json, "naive", plain);
  write_time(json, "call", call);
  std::fprintf(json, "\"sets\": %zu, \"bytes\": %.0f, \"wrong\": %zu},\n", sets.size(), bytes, wrong);
}

void run(const Shape& shape, const std::string& only_mode, double bandwidth, std::mt19937_64& random,
         const std::vector<std::uint16_t>& pool, cudaStream_t stream, std::FILE* json) {
  double bytes = static_cast<double>(shape.batch * shape.targets * (shape.columns() * shape.value_bytes() + 8));
  for (const Source& s : shape.sources)
    bytes += static_cast<double>(shape.batch * s.samples * (s.columns * shape.value_bytes() + 8));
  const std::size_t count = std::max<std::size_t>(3, static_cast<std::size_t>(bench::kWorkingSet / bytes) + 1);
  std::vector<Set> sets;
  for (std::size_t i = 0; i < count; ++i) sets.emplace_back(shape, random, pool);
  for (const Mode& mode : kModes) {
    if (only_mode.empty() || only_mode == mode.name) measure(shape, mode, sets, bandwidth, stream, json);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* json_path = nullptr;
  std::string only_shape;
  std::string only_mode;
  std::uint64_t seed = std::random_device{}();
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--json") == 0) json_path = argv[i + 1];
    if (std::strcmp(argv[i], "--shape") == 0) only_shape = argv[i + 1];
    if (std::strcmp(argv[i], "--mode") == 0) only_mode = argv[i + 1];
    if (std::strcmp(argv[i], "--seed") == 0) seed = std::strtoull(argv[i + 1], nullptr, 10);
  }
  std::mt19937_64 random(seed);
  cudaStream_t stream = nullptr;
  check("benchmark", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaDeviceProp properties{};
  check("benchmark", cudaGetDeviceProperties(&properties, 0));
  int driver = 0;
  check("benchmark", cudaDriverGetVersion(&driver));
  const double bandwidth = copy_bandwidth(stream);
  std::printf("%s, driver CUDA %d, copy %.2f TB/s, seed %llu\n", properties.name, driver, bandwidth / 1e12,
              static_cast<unsigned long long>(seed));
  std::FILE* json = json_path == nullptr ? nullptr : std::fopen(json_path, "w");
  if (json != nullptr) {
    std::fprintf(json, "{\"gpu\": \"%s\", \"driver\": %d, \"copy_bytes_per_s\": %.4e, \"seed\": %llu, \"rows\": [\n",
                 properties.name, driver, bandwidth, static_cast<unsigned long long>(seed));
  }
  const auto pool = bench::random_words(random, 40'000'000);
  for (const Shape& shape : kShapes) {
    if (only_shape.empty() || only_shape == shape.name) run(shape, only_mode, bandwidth, random, pool, stream, json);
  }
  if (json != nullptr) {
    std::fprintf(json, "    {}]}\n");
    std::fclose(json);
  }
  return 0;
}
