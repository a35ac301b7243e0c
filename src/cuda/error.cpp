#include "cuda/error.hpp"

#include <string>

#include "cuda/process.hpp"
#include "robocache/error.hpp"

namespace robocache::cuda {

void fail(std::string_view op, cudaError_t status) {
  // Clears the error unless it is a sticky one: the next call must not report it again.
  static_cast<void>(cudaGetLastError());
  std::string text(op);
  text.append(": CUDA reports ").append(cudaGetErrorName(status)).append(" (").append(cudaGetErrorString(status));
  text.append(")");
  // A library other than this one may have used CUDA before the fork.
  if (status == cudaErrorInitializationError) text.append("; perhaps ").append(kForkedText);
  throw CudaError(text);
}

}  // namespace robocache::cuda
