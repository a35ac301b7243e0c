#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <span>
#include <string_view>

#include "array.hpp"
#include "robocache/tensor.hpp"

// Results as arrays of the caller's library.
namespace robocache::python {

/// Memory for a result, and the view through which an operator fills it.
struct Fresh {
  nb::object array;  ///< of the caller's library, or a `Memory` that deliver() turns into one
  Tensor view;
};

/// Uninitialised memory on `device` for a result in the library of `like`. CPU memory comes from host_memory(), so that
/// large results recycle their pages; CUDA memory from the allocator of that library, which record_stream and graphs rely
/// on. Throws OutOfMemory. `op` names the function in errors.
Fresh new_array(std::string_view op, nb::handle like, std::span<const std::int64_t> shape, DType dtype, Device device,
                void* stream);

/// The finished result as an array of the library of `like`. After the operator has run: jax may copy.
nb::object deliver(std::string_view op, nb::handle like, nb::object array);

/// Memory on the CPU that is there already, contiguous, as an array of the library of `like`, which shares it.
nb::object lend_array(std::string_view op, nb::handle like, const Tensor& view, std::shared_ptr<void> memory);

/// Registers the `Memory` type: memory of ours lent through the buffer protocol and DLPack.
void bind_memory(nb::module_& m);

}  // namespace robocache::python
