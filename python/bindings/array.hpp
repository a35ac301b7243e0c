#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.hpp"
#include "dlpack.hpp"
#include "robocache/tensor.hpp"

// Arrays of other libraries seen as Tensors, without a copy.
namespace robocache::python {

namespace nb = nanobind;

enum class Library : std::uint8_t { numpy, torch, jax, cupy, other };

/// What is known of an array type; found once per type.
struct ArrayType {
  Library library = Library::other;
  bool masked = false;                             ///< numpy.ma: the mask would be lost
  bool traced = false;                             ///< jax: no memory, only a place in a computation
  const dlpack::DLPackExchangeAPI* api = nullptr;  ///< torch >= 2.10: no Python call is needed to look into an array
};

const ArrayType& array_type(nb::handle array);

/// Keeps what other libraries lent for the duration of a call (buffers, DLPack capsules). Not copyable.
class Loans {
 public:
  Loans() = default;
  Loans(const Loans&) = delete;
  Loans& operator=(const Loans&) = delete;
  ~Loans();

  void keep(const Py_buffer& buffer) { buffers_.push_back(buffer); }
  void keep(dlpack::DLManagedTensor* tensor) { legacy_.push_back(tensor); }
  void keep(dlpack::DLManagedTensorVersioned* tensor) { versioned_.push_back(tensor); }
  void keep(nb::object object) { objects_.push_back(std::move(object)); }

 private:
  std::vector<Py_buffer> buffers_;
  std::vector<dlpack::DLManagedTensor*> legacy_;
  std::vector<dlpack::DLManagedTensorVersioned*> versioned_;
  std::vector<nb::object> objects_;
};

struct Borrowed {
  Tensor view;
  bool writable = false;
  /// The producer does not order its own work on our stream: the call must be over before the loan is.
  bool unordered = false;
};

/// A view of `array`, valid while `loans` lives. `stream` is where CUDA work will be ordered.
/// Throws InvalidArgument naming `op` and `subject` for things that are no array, and for dtypes without a DType;
/// Unsupported for a tensor that autograd tracks: gradients are robocache.torch's.
Borrowed borrow(nb::handle array, std::string_view op, const Subject& subject, void* stream, Loans& loans);

/// "ndarray", "Tensor": what errors call a thing.
std::string class_name(nb::handle object);

/// What an exception says, without the traces that some libraries append.
std::string first_line(const nb::python_error& error);

/// The stream that the library of `array` works on, for arrays on CUDA device `index`.
void* current_stream(nb::handle array, int index);

/// True for arrays on a CUDA device, with its index. Looks without exporting.
bool on_cuda(nb::handle array, std::string_view op, const Subject& subject, int& index);

DType to_dtype(dlpack::DLDataType type, std::string_view op, const Subject& subject);
dlpack::DLDataType to_dlpack(DType dtype) noexcept;

}  // namespace robocache::python
