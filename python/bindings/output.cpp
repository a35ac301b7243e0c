#include "output.hpp"

#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>

#include "core/build.hpp"
#include "cuda/device_guard.hpp"
#include "dlpack.hpp"
#include "robocache/error.hpp"
#include "robocache/memory.hpp"

namespace robocache::python {

using namespace dlpack;

namespace {

Tensor contiguous(void* data, std::span<const std::int64_t> shape, DType dtype, Device device) {
  Tensor view(data, dtype, {}, device);
  view.rank = static_cast<std::int32_t>(shape.size());
  std::int64_t stride = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    view.shape[i] = shape[static_cast<std::size_t>(i)];
    view.strides[i] = stride;
    stride *= view.shape[i];
  }
  return view;
}

/// Memory with the shape of one array.
class Block {
 public:
  Block(const Tensor& view, std::shared_ptr<void> memory) : view_(view), memory_(std::move(memory)) {
    for (int i = 0; i < view.rank; ++i)
      byte_strides_[i] = view.strides[i] * static_cast<Py_ssize_t>(size_of(view.dtype));
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  [[nodiscard]] Tensor& view() { return view_; }
  [[nodiscard]] Py_ssize_t* byte_strides() { return byte_strides_; }

 private:
  Tensor view_;
  std::shared_ptr<void> memory_;
  Py_ssize_t byte_strides_[kMaxRank] = {};
};

/// New memory of the device's resource, usable on `stream`.
std::shared_ptr<Block> new_block(Tensor view, void* stream) {
  MemoryResource& resource = view.device.kind == DeviceKind::cpu ? host_memory() : device_memory(view.device.index);
  const std::size_t bytes = std::max<std::size_t>(1, static_cast<std::size_t>(view.numel()) * size_of(view.dtype));
  view.data = resource.allocate(bytes, stream);
  // On CUDA only jax adopts a block, after the call is over, and it gives it back when its own work on it is.
  const auto give_back = [&resource, bytes](void* memory) { resource.deallocate(memory, bytes, nullptr); };
  return std::make_shared<Block>(view, std::shared_ptr<void>(view.data, give_back));
}

/// What Python holds.
struct Memory {
  std::shared_ptr<Block> block;
};

DLTensor describe(Tensor& view) {
  const DLDeviceType kind = view.device.kind == DeviceKind::cpu ? kDLCPU : kDLCUDA;
  return {view.data, {kind, view.device.index}, view.rank, to_dlpack(view.dtype), view.shape, view.strides, 0};
}

/// A DLPack tensor of a block, which it keeps alive.
DLManagedTensorVersioned* lend(std::shared_ptr<Block> block) {
  struct Lent {
    DLManagedTensorVersioned tensor;
    std::shared_ptr<Block> block;
  };
  auto* lent = new Lent{{}, std::move(block)};
  lent->tensor = {{1, 0},
                  lent,
                  [](DLManagedTensorVersioned* self) { delete static_cast<Lent*>(self->manager_ctx); },
                  0,
                  describe(lent->block->view())};
  return &lent->tensor;
}

const char* format_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "d";
    case DType::f32:
      return "f";
    case DType::f16:
      return "e";
    case DType::bf16:
      return "H";  // the caller views it as ml_dtypes' bfloat16
    case DType::i64:
      return sizeof(long) == 8 ? "l" : "q";  // numpy's own int64 is the C type with that size
    case DType::i32:
      return "i";
    case DType::i16:
      return "h";
    case DType::i8:
      return "b";
    case DType::u64:
      return sizeof(long) == 8 ? "L" : "Q";
    case DType::u32:
      return "I";
    case DType::u16:
      return "H";
    case DType::u8:
      return "B";
    case DType::boolean:
      return "?";
  }
  return "";
}

int get_buffer(PyObject* exporter, Py_buffer* buffer, int /*flags*/) {
  Block& block = *nb::inst_ptr<Memory>(nb::handle(exporter))->block;
  Tensor& view = block.view();
  if (view.device.kind != DeviceKind::cpu) {
    PyErr_SetString(PyExc_BufferError, "Memory: on a CUDA device, expected host memory; use DLPack");
    return -1;
  }
  *buffer = {};
  buffer->obj = Py_NewRef(exporter);
  buffer->buf = view.data;
  buffer->itemsize = static_cast<Py_ssize_t>(size_of(view.dtype));
  buffer->len = view.numel() * buffer->itemsize;
  buffer->format = const_cast<char*>(format_of(view.dtype));
  buffer->ndim = view.rank;
  buffer->shape = reinterpret_cast<Py_ssize_t*>(view.shape);
  buffer->strides = block.byte_strides();
  return 0;
}

nb::tuple to_tuple(const std::int64_t* sizes, std::int32_t count) {
  nb::object tuple = nb::steal(PyTuple_New(count));
  for (std::int32_t i = 0; i < count; ++i) PyTuple_SET_ITEM(tuple.ptr(), i, PyLong_FromLongLong(sizes[i]));
  return nb::borrow<nb::tuple>(tuple);
}

/// A function of torch that it does not document, or None where this torch has none such.
nb::object torch_internal(std::initializer_list<const char*> path) {
  nb::object found = nb::module_::import_("torch").attr("_C");
  for (const char* name : path) found = nb::getattr(found, name, nb::none());
  return found;
}

/// What torch's own compiled code makes CUDA tensors with: a third of the host time of torch.empty, and all that stands
/// between a call and its kernel. It takes no device, but allocates on the current one: torch's notion of it, which is not
/// the runtime's where torch still spares a device its context. Null for another device, and where this torch has no such
/// function.
nb::handle torch_empty_strided(int device) {
  // No initialisers: a thread waits for another's with the GIL in its hands, which that one may need.
  static nb::handle make, current;
  if (!make.is_valid()) {
    current = torch_internal({"_cuda_getDevice"}).release();
    make = torch_internal({"_dynamo", "guards", "_empty_strided_cuda"}).release();
  }
  const bool known = !make.is_none() && !current.is_none();
  return known && nb::cast<int>(current()) == device ? make : nb::handle();
}

nb::handle torch_dtype(DType dtype) {
  static nb::handle known[static_cast<std::size_t>(DType::boolean) + 1];
  nb::handle& found = known[static_cast<std::size_t>(dtype)];
  if (!found.is_valid()) found = nb::getattr(nb::module_::import_("torch"), std::string(name(dtype)).c_str()).release();
  return found;
}

nb::object frameworks(const char* function) { return nb::module_::import_("robocache._frameworks").attr(function); }

/// Uninitialised CUDA memory as an array of the library of `like`, from that library's own allocator: it knows which
/// streams still use a block (torch's record_stream), and which blocks a graph owns.
nb::object empty_cuda(std::string_view op, nb::handle like, const Tensor& wanted) {
  const nb::tuple sizes = to_tuple(wanted.shape, wanted.rank);
  if constexpr (build::cuda) {
    if (array_type(like).library == Library::torch) {
      const nb::handle make = torch_empty_strided(wanted.device.index);
      const cuda::DeviceGuard guard(wanted.device.index);
      if (make.is_valid()) return make(sizes, to_tuple(wanted.strides, wanted.rank), torch_dtype(wanted.dtype));
    }
  }
  return frameworks("empty")(op, like, sizes, name(wanted.dtype));
}

/// empty_cuda() with running out of memory as OutOfMemory: torch's is a RuntimeError, cupy's a MemoryError.
nb::object allocate_cuda(std::string_view op, nb::handle like, const Tensor& wanted) {
  try {
    return empty_cuda(op, like, wanted);
  } catch (nb::python_error& error) {
    const std::string message = first_line(error);
    if (!error.matches(PyExc_MemoryError) && message.find("out of memory") == std::string::npos) throw;
    throw OutOfMemory(std::string(op) + ": " + message);
  }
}

/// Where the elements of a new CUDA array are.
void* data_of(std::string_view op, const ArrayType& type, nb::handle array, void* stream) {
  if (type.api == nullptr) {
    Loans loans;  // the array itself keeps its memory
    return borrow(array, op, "the result", stream, loans).view.data;
  }
  DLTensor found;
  if (type.api->dltensor_from_py_object_no_sync(array.ptr(), &found) != 0) throw nb::python_error();
  return static_cast<std::byte*>(found.data) + found.byte_offset;
}

/// A block as an array of a library where that needs no Python, else as `Memory`.
nb::object as_array(const ArrayType& type, std::shared_ptr<Block> block) {
  if (type.api == nullptr) return nb::cast(Memory{std::move(block)});
  void* object = nullptr;
  if (type.api->managed_tensor_to_py_object_no_sync(lend(std::move(block)), &object) != 0) throw nb::python_error();
  return nb::steal(static_cast<PyObject*>(object));
}

/// Throws OutOfMemory for a result that no address space holds, and for an empty one whose strides none does.
void refuse_overflow(std::string_view op, std::span<const std::int64_t> shape, DType dtype) {
  auto bytes = static_cast<std::int64_t>(size_of(dtype));
  bool overflow = false;
  for (std::int64_t size : shape) {
    overflow = __builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes) || overflow;
  }
  if (!overflow) return;
  std::string text;
  for (std::int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  throw OutOfMemory(std::string(op) + ": the result is [" + text + "] of " + std::string(name(dtype)) +
                    ", expected less than 2^63 bytes");
}

}  // namespace

Fresh new_array(std::string_view op, nb::handle like, std::span<const std::int64_t> shape, DType dtype, Device device,
                void* stream) {
  refuse_overflow(op, shape, dtype);
  const ArrayType& type = array_type(like);
  if (device.kind == DeviceKind::cuda && type.library != Library::jax) {
    Tensor view = contiguous(nullptr, shape, dtype, device);
    nb::object array = allocate_cuda(op, like, view);
    view.data = data_of(op, type, array, stream);
    return {std::move(array), view};
  }
  auto block = new_block(contiguous(nullptr, shape, dtype, device), stream);
  const Tensor view = block->view();
  return {as_array(type, std::move(block)), view};
}

nb::object lend_array(std::string_view op, nb::handle like, const Tensor& view, std::shared_ptr<void> memory) {
  return deliver(op, like, as_array(array_type(like), std::make_shared<Block>(view, std::move(memory))));
}

nb::object deliver(std::string_view op, nb::handle like, nb::object array) {
  if (!nb::isinstance<Memory>(array)) return array;
  return frameworks("adopt")(op, like, array, name(nb::inst_ptr<Memory>(array)->block->view().dtype));
}

void bind_memory(nb::module_& m) {
  static PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)}, {0, nullptr}};
  nb::class_<Memory>(m, "Memory", nb::type_slots(slots),
                     "Memory of RoboCache lent to other libraries (buffer protocol, DLPack).")
      .def(
          "__dlpack_device__",
          [](const Memory& self) {
            const Device device = self.block->view().device;
            return nb::make_tuple(static_cast<int>(device.kind == DeviceKind::cpu ? kDLCPU : kDLCUDA), device.index);
          },
          nb::sig("def __dlpack_device__(self) -> tuple[int, int]"))
      .def(
          "__dlpack__",
          [](const Memory& self, const nb::object& /*stream*/, const nb::object& max_version,
             const nb::object& /*dl_device*/, const nb::object& /*copy*/) {
            DLManagedTensorVersioned* managed = lend(self.block);
            if (!max_version.is_none()) {
              return nb::steal(PyCapsule_New(managed, "dltensor_versioned", [](PyObject* capsule) {
                if (PyCapsule_IsValid(capsule, "dltensor_versioned") == 0) return;
                auto* t = static_cast<DLManagedTensorVersioned*>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
                t->deleter(t);
              }));
            }
            auto* legacy = new DLManagedTensor{managed->dl_tensor, managed, [](DLManagedTensor* owned) {
                                                 auto* owner =
                                                     static_cast<DLManagedTensorVersioned*>(owned->manager_ctx);
                                                 owner->deleter(owner);
                                                 delete owned;
                                               }};
            return nb::steal(PyCapsule_New(legacy, "dltensor", [](PyObject* capsule) {
              if (PyCapsule_IsValid(capsule, "dltensor") == 0) return;
              auto* t = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
              t->deleter(t);
            }));
          },
          nb::kw_only(), nb::arg("stream") = nb::none(), nb::arg("max_version") = nb::none(),
          nb::arg("dl_device") = nb::none(), nb::arg("copy") = nb::none());
}

}  // namespace robocache::python
