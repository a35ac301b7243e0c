#pragma once

#include <cstdint>
#include <string>

#include "core/check.hpp"
#include "kernels/voxelize.hpp"

// What operators on points check alike.
namespace robocache {

/// As errors print it.
std::string number_text(double v);

/// The pitches of rows of a matrix, or of one for each batch row.
PointRows rows_of(const ConstTensor& tensor);

bool is_contiguous(const ConstTensor& tensor);

/// [4, 4], or with `batch` >= 0 also [batch, 4, 4].
Transforms read_transform(const Check& check, const ConstTensor& transform, Device device, std::int64_t batch);

/// Checks points, features, lengths and offsets, and a transform if it is given; on the CPU also where clouds lie.
CloudArgs read_clouds(const Check& check, const Clouds& clouds);

}  // namespace robocache
