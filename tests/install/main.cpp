// Calls an operator, catches an error across the library's border, and asks for the build's devices.

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include <robocache/robocache.hpp>

int main() {
  using namespace robocache;
  const std::array<double, 3> values{0.0, 10.0, 20.0};
  const std::array<std::int64_t, 3> stamps{0, 1000, 2000};
  const std::array<std::int64_t, 2> at{250, 1500};
  std::array<double, 2> out{};

  const Stream stream{.values{values.data(), DType::f64, {1, 3, 1}}, .stamps{stamps.data(), DType::i64, {1, 3}}};
  const Tensor rows{out.data(), DType::f64, {1, 2, 1}};
  resample(stream, ConstTensor{at.data(), DType::i64, {1, 2}}, rows);
  if (out[0] != 2.5 || out[1] != 15.0) {
    std::printf("resample gave %g %g, expected 2.5 15\n", out[0], out[1]);
    return 1;
  }

  try {
    resample(stream, ConstTensor{at.data(), DType::f64, {1, 2}}, rows);
    std::printf("targets of another dtype were accepted\n");
    return 1;
  } catch (const InvalidArgument& error) {
    std::printf("%s\n", error.what());
    if (std::strstr(error.what(), "expected") == nullptr) return 1;
  }

  void* memory = host_memory().allocate(64, nullptr);
  host_memory().deallocate(memory, 64, nullptr);
  std::printf("CUDA devices: %d\n", cuda_device_count());
  return 0;
}
