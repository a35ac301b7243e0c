#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "kernels/voxelize.hpp"

namespace robocache {

/// Clouds and a grid as the voxelizing operators check them.
class VoxelizeInputs {
 public:
  /// `op` names the operator in errors.
  VoxelizeInputs(const char* op, const Clouds& clouds, const VoxelGrid& grid);

  /// Throws where `out` has another shape or device, or is strided.
  void check_output(const Subject& subject, const ConstTensor& out, std::span<const std::int64_t> shape) const;

  /// Throws where a reduction of features has none, or too many columns.
  void check_features() const;

  /// [B], or [] for a single cloud.
  [[nodiscard]] std::vector<std::int64_t> leading() const;

  /// i64 numbers for an output of such a shape; null where it is not given.
  [[nodiscard]] std::int64_t* numbers(const char* subject, const Tensor& out,
                                      std::span<const std::int64_t> shape) const;

  [[nodiscard]] const Check& check() const { return check_; }
  [[nodiscard]] Device device() const { return device_; }
  [[nodiscard]] const VoxelizeArgs& args() const { return args_; }

 private:
  void read_grid(const VoxelGrid& grid);

  const Check check_;
  VoxelizeArgs args_;
  Device device_{};
};

}  // namespace robocache
