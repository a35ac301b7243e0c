#pragma once

#include <string>

namespace robocache::cuda {

/// What the driver calls CUDA device `index`. Throws CudaError for a bad index.
[[nodiscard]] std::string device_name(int index);

}  // namespace robocache::cuda
