// Two sensors with clocks of their own, put at the same 50 Hz instants: joint angles (linear) and a gripper (hold).
// Builds against an installed RoboCache: find_package(robocache CONFIG REQUIRED), robocache::robocache.

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <robocache/robocache.hpp>

int main() {
  using namespace robocache;
  constexpr std::int64_t ms = 1'000'000;

  // Joints: 500 Hz, two columns. Gripper: an event at 0 ms and one at 90 ms.
  constexpr std::int64_t samples = 100;
  std::vector<float> joints;
  std::vector<std::int64_t> joint_stamps_ns;
  for (std::int64_t s = 0; s < samples; ++s) {
    const float t_s = static_cast<float>(s) * 0.002F;
    joints.insert(joints.end(), {t_s, -2.0F * t_s});
    joint_stamps_ns.push_back(s * 2 * ms);
  }
  const std::array<float, 2> gripper{0.0F, 1.0F};
  const std::array<std::int64_t, 2> gripper_stamps_ns{0, 90 * ms};

  constexpr std::int64_t targets = 10;
  std::vector<std::int64_t> at_ns;
  for (std::int64_t k = 0; k < targets; ++k) at_ns.push_back(k * 20 * ms + ms);

  const std::array<Stream, 2> streams{Stream{.values{joints.data(), DType::f32, {1, samples, 2}},
                                             .stamps{joint_stamps_ns.data(), DType::i64, {1, samples}},
                                             .interp = Interp::linear,
                                             .name = "joints"},
                                      Stream{.values{gripper.data(), DType::f32, {1, 2, 1}},
                                             .stamps{gripper_stamps_ns.data(), DType::i64, {1, 2}},
                                             .interp = Interp::hold,
                                             .name = "gripper"}};

  // The caller owns the outputs: rows [B=1, T, 3], and a validity for each row and stream.
  std::vector<float> rows(targets * 3);
  std::array<bool, targets * 2> valid{};
  const Tensor out{rows.data(), DType::f32, {1, targets, 3}};
  align(streams, ConstTensor{at_ns.data(), DType::i64, {1, targets}}, {&out, 1},
        Tensor{valid.data(), DType::boolean, {1, targets, 2}}, {});

  int wrong = 0;
  for (std::size_t k = 0; k < targets; ++k) {
    const float t_s = static_cast<float>(at_ns[k]) * 1e-9F;
    const float* row = &rows[k * 3];
    std::printf("%3.0f ms  joints %6.3f %6.3f  gripper %.0f  valid %d %d\n", static_cast<double>(t_s) * 1e3,
                static_cast<double>(row[0]), static_cast<double>(row[1]), static_cast<double>(row[2]), valid[k * 2],
                valid[k * 2 + 1]);
    const float held = at_ns[k] < 90 * ms ? 0.0F : 1.0F;
    wrong += std::abs(row[0] - t_s) > 1e-6F || std::abs(row[1] + 2 * t_s) > 1e-6F || row[2] != held || !valid[k * 2];
  }
  return wrong == 0 ? 0 : 1;
}
