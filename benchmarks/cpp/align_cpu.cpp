#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/isa.hpp"
#include "core/thread_pool.hpp"
#include "robocache/robocache.hpp"

// The C++ call of align on the CPU, outputs given: median and spread, and the bytes it must move beside a plain copy in
// the same run. Prints a table; `--json FILE` keeps every number, `--shape TEXT` runs only the shapes that contain
// TEXT.
namespace {

using robocache::ConstTensor;
using robocache::DType;
using robocache::Tensor;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kEpoch = 1'700'000'000'000'000'000;
constexpr std::int64_t kSpan = 1'000'000'000;

struct Source {
  std::int64_t samples, columns;
};
struct Shape {
  const char* name;
  std::int64_t batch, targets;
  std::vector<Source> sources;
};

const std::vector<Source> kFusion = {{30, 512}, {100, 64}, {200, 12}};
const std::vector<Shape> kShapes = {{"8x250->128x128", 8, 128, {{250, 128}}},
                                    {"32x500->256x256", 32, 256, {{500, 256}}},
                                    {"256x500->250x32", 256, 250, {{500, 32}}},
                                    {"64x4096->1024x32", 64, 1024, {{4096, 32}}},
                                    {"64x1000->512x512", 64, 512, {{1000, 512}}},
                                    {"1x1000000->100000x16", 1, 100'000, {{1'000'000, 16}}},
                                    {"fusion B=4", 4, 50, kFusion},
                                    {"fusion B=64", 64, 50, kFusion},
                                    {"fusion B=256", 256, 50, kFusion}};

struct Mode {
  const char* name;
  DType dtype;
  bool marks;  ///< with valid and age_ns
  int threads;
};
const std::vector<Mode> kModes = {{"f32", DType::f32, false, 0},
                                  {"f32, 1 thread", DType::f32, false, 1},
                                  {"f32, valid and age", DType::f32, true, 0},
                                  {"bf16", DType::bf16, false, 0},
                                  {"f16", DType::f16, false, 0}};

std::vector<std::int64_t> sorted_stamps(std::mt19937_64& random, std::int64_t rows, std::int64_t count) {
  std::vector<std::int64_t> stamps(static_cast<std::size_t>(rows * count));
  for (std::int64_t& s : stamps) s = kEpoch + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(kSpan));
  for (std::int64_t r = 0; r < rows; ++r) std::sort(stamps.begin() + r * count, stamps.begin() + (r + 1) * count);
  return stamps;
}

/// Elements of any of the float types, all between 1 and 2: random mantissas under one exponent.
std::vector<std::byte> random_values(std::mt19937_64& random, std::size_t bytes, DType dtype) {
  std::vector<std::uint64_t> words(bytes / 8 + 1);
  const std::uint64_t mantissas = dtype == DType::f32   ? 0x007fffff007fffff
                                  : dtype == DType::f16 ? 0x03ff03ff03ff03ff
                                                        : 0x007f007f007f007f;
  const std::uint64_t exponents = dtype == DType::f32   ? 0x3f8000003f800000
                                  : dtype == DType::f16 ? 0x3c003c003c003c00
                                                        : 0x3f803f803f803f80;
  for (std::uint64_t& word : words) word = (random() & mantissas) | exponents;
  std::vector<std::byte> values(bytes);
  std::memcpy(values.data(), words.data(), bytes);
  return values;
}

/// The memory of one call.
struct Call {
  Call(const Shape& shape, const Mode& mode, std::mt19937_64& random)
      : targets(sorted_stamps(random, shape.batch, shape.targets)) {
    const auto n = static_cast<std::int64_t>(shape.sources.size());
    std::int64_t columns = 0;
    for (const Source& source : shape.sources) {
      const std::int64_t count = shape.batch * source.samples * source.columns;
      values.push_back(random_values(random, static_cast<std::size_t>(count) * size_of(mode.dtype), mode.dtype));
      clocks.push_back(sorted_stamps(random, shape.batch, source.samples));
      robocache::Stream stream;
      stream.values = ConstTensor(values.back().data(), mode.dtype, {shape.batch, source.samples, source.columns});
      stream.stamps = ConstTensor(clocks.back().data(), DType::i64, {shape.batch, source.samples});
      streams.push_back(stream);
      columns += source.columns;
    }
    at = ConstTensor(targets.data(), DType::i64, {shape.batch, shape.targets});
    const std::int64_t rows = shape.batch * shape.targets;
    bytes = static_cast<std::size_t>(rows * columns) * size_of(mode.dtype);
    memory = robocache::host_memory().allocate(bytes, nullptr);
    out = Tensor(memory, mode.dtype, {shape.batch, shape.targets, columns});
    if (!mode.marks) return;
    valid_bytes.resize(static_cast<std::size_t>(rows * n));
    ages.resize(static_cast<std::size_t>(rows * n));
    valid = Tensor(valid_bytes.data(), DType::boolean, {shape.batch, shape.targets, n});
    age_ns = Tensor(ages.data(), DType::i64, {shape.batch, shape.targets, n});
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { robocache::host_memory().deallocate(memory, bytes, nullptr); }

  void run(int threads) const {
    robocache::Context ctx;
    ctx.threads = threads;
    robocache::align(streams, at, {&out, 1}, valid, age_ns, robocache::DataCheck::automatic, ctx);
  }

  std::vector<std::vector<std::byte>> values;
  std::vector<std::vector<std::int64_t>> clocks;
  std::vector<std::int64_t> targets;
  std::vector<robocache::Stream> streams;
  ConstTensor at;
  std::size_t bytes = 0;  ///< of out
  void* memory = nullptr;
  Tensor out, valid, age_ns;
  std::vector<std::uint8_t> valid_bytes;
  std::vector<std::int64_t> ages;
};

struct Time {
  double median_us, low_us, high_us;
};

/// For at least 0.4 s and 15 runs, after 3 that do not count.
Time measure(const std::function<void()>& run) {
  for (int i = 0; i < 3; ++i) run();
  std::vector<double> samples;
  const auto end = Clock::now() + std::chrono::milliseconds(400);
  while (samples.size() < 15 || Clock::now() < end) {
    const auto begin = Clock::now();
    run();
    samples.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  std::sort(samples.begin(), samples.end());
  const std::size_t n = samples.size();
  return {samples[n / 2], samples[n / 10], samples[n - 1 - n / 10]};
}

/// Bytes read and written in a microsecond by a copy of `bytes` on all processors.
double copy_bandwidth(std::size_t bytes) {
  std::vector<std::byte> from(bytes, std::byte{1});
  std::vector<std::byte> to(bytes, std::byte{2});
  const Time time = measure([&] {
    robocache::parallel_for(static_cast<std::int64_t>(bytes), 1 << 18, 0, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
    });
  });
  return 2.0 * static_cast<double>(bytes) / time.median_us;
}

void write_json(const char* path, const std::string& results, double memory, double cache) {
  std::FILE* json = std::fopen(path, "w");
  if (json == nullptr) {
    std::fprintf(stderr, "cannot write %s\n", path);
    std::exit(1);
  }
  std::fprintf(json,
               "{\n  \"benchmark\": \"align_cpu\", \"isa\": \"%s\", \"processors\": %d,\n"
               "  \"copy_64MB_bytes_per_us\": %.0f, \"copy_4MB_bytes_per_us\": %.0f,\n  \"results\": [\n%s\n  ]\n}\n",
               name(robocache::active_isa()).data(), robocache::processor_count(), memory, cache, results.c_str());
  std::fclose(json);
}

}  // namespace

int main(int argc, char** argv) {
  const char* json_path = nullptr;
  std::string filter;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--json") == 0) json_path = argv[i + 1];
    if (std::strcmp(argv[i], "--shape") == 0) filter = argv[i + 1];
  }
  const double memory = copy_bandwidth(64 << 20);
  const double cache = copy_bandwidth(4 << 20);
  std::printf("%s, %d processors; a copy moves %.1f GB/s (64 MB) and %.1f GB/s (4 MB)\n\n",
              name(robocache::active_isa()).data(), robocache::processor_count(), memory / 1e3, cache / 1e3);
  std::printf("%-22s %-20s %10s %10s %10s\n", "shape", "mode", "median us", "p10", "p90");
  std::mt19937_64 random(std::random_device{}());
  std::string results;
  for (const Shape& shape : kShapes) {
    if (std::string(shape.name).find(filter) == std::string::npos) continue;
    for (const Mode& mode : kModes) {
      const Call call(shape, mode, random);
      const Time time = measure([&] { call.run(mode.threads); });
      std::printf("%-22s %-20s %10.1f %10.1f %10.1f\n", shape.name, mode.name, time.median_us, time.low_us,
                  time.high_us);
      char line[256];
      std::snprintf(
          line, sizeof line,
          "%s    {\"shape\": \"%s\", \"mode\": \"%s\", \"median_us\": %.2f, \"p10_us\": %.2f, \"p90_us\": %.2f}",
          results.empty() ? "" : ",\n", shape.name, mode.name, time.median_us, time.low_us, time.high_us);
      results += line;
    }
  }
  if (json_path != nullptr) write_json(json_path, results, memory, cache);
}
