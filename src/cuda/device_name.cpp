#include "cuda/device_name.hpp"

#include "cuda/error.hpp"
#include "cuda/process.hpp"

namespace robocache::cuda {

std::string device_name(int index) {
  enter();
  cudaDeviceProp properties{};
  check("device_name", cudaGetDeviceProperties(&properties, index));
  return properties.name;
}

}  // namespace robocache::cuda
