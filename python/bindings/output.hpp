#pragma once

#include <nanobind/nanobind.h>

#include <span>

#include "array.hpp"
#include "robocache/tensor.hpp"

// Results as arrays of the caller's library.
namespace robocache::python {

/// An array that has just been made, and the view through which an operator fills it.
struct Fresh {
  nb::object array;
  Tensor view;
};

/// An uninitialised array of the library of `like` on `device`. CPU memory comes from host_memory(), so that large
/// results recycle their pages; CUDA memory comes from the library's own allocator where it has one (torch, cupy).
Fresh new_array(nb::handle like, std::span<const std::int64_t> shape, DType dtype, Device device, void* stream);

/// Registers the `Memory` type: memory of ours lent through the buffer protocol and DLPack.
void bind_memory(nb::module_& m);

}  // namespace robocache::python
