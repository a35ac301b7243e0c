#pragma once

#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace robocache {

/// An argument has the wrong shape, dtype, device or value. Python: ValueError.
class InvalidArgument : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// The request is sensible but this build, device or dtype does not do it. Python: NotImplementedError.
class Unsupported : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A file is damaged. Python: OSError.
class DataError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The CUDA runtime or driver reported an error. Python: RuntimeError.
class CudaError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Memory ran out; says what was asked for. Python: MemoryError.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string what) : what_(std::move(what)) {}
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

}  // namespace robocache
