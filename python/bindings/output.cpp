#include "output.hpp"

#include <algorithm>
#include <memory>
#include <string>

#include "dlpack.hpp"
#include "robocache/error.hpp"
#include "robocache/memory.hpp"

namespace robocache::python {

using namespace dlpack;

namespace {

/// The small CUDA results of one call share a block: having torch make and free one is a tenth of the host time of a
/// call with three streams (H200). The block lives until the last of them dies, so large results stay apart; the time
/// of those is in their bytes.
constexpr std::int64_t kSharedBytes = 1 << 20;
constexpr std::int64_t kSharedAlignment = 512;  ///< that of torch's own blocks

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

/// Memory of a resource with the shape of one array.
class Block {
 public:
  Block(std::span<const std::int64_t> shape, DType dtype, Device device, void* stream)
      : view_(contiguous(nullptr, shape, dtype, device)),
        resource_(device.kind == DeviceKind::cpu ? &host_memory() : &device_memory(device.index)) {
    for (int i = 0; i < view_.rank; ++i) byte_strides_[i] = view_.strides[i] * static_cast<Py_ssize_t>(size_of(dtype));
    bytes_ = std::max<std::size_t>(1, static_cast<std::size_t>(view_.numel()) * size_of(dtype));
    view_.data = resource_->allocate(bytes_, stream);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  // On CUDA only jax adopts a block, after the call is over, and it gives it back when its own work on it is.
  ~Block() { resource_->deallocate(view_.data, bytes_, nullptr); }

  [[nodiscard]] Tensor& view() { return view_; }
  [[nodiscard]] Py_ssize_t* byte_strides() { return byte_strides_; }

 private:
  Tensor view_;
  MemoryResource* resource_;
  std::size_t bytes_ = 0;
  Py_ssize_t byte_strides_[kMaxRank] = {};
};

/// What Python holds.
struct Memory {
  std::shared_ptr<Block> block;
};

DLTensor describe(Tensor& view) {
  const DLDeviceType kind = view.device.kind == DeviceKind::cpu ? kDLCPU : kDLCUDA;
  return {view.data, {kind, view.device.index}, view.rank, to_dlpack(view.dtype), view.shape, view.strides, 0};
}

/// A DLPack tensor of memory that `owner` keeps alive.
DLManagedTensorVersioned* lend(std::shared_ptr<void> owner, const Tensor& view) {
  struct Lent {
    DLManagedTensorVersioned tensor;
    Tensor view;
    std::shared_ptr<void> owner;
  };
  auto* lent = new Lent{{}, view, std::move(owner)};
  lent->tensor = {{1, 0},
                  lent,
                  [](DLManagedTensorVersioned* self) { delete static_cast<Lent*>(self->manager_ctx); },
                  0,
                  describe(lent->view)};
  return &lent->tensor;
}

DLManagedTensorVersioned* lend(const std::shared_ptr<Block>& block) { return lend(block, block->view()); }

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

/// CUDA memory from torch's own allocator.
DLManagedTensorVersioned* allocate(const DLPackExchangeAPI& api, std::span<const std::int64_t> shape, DType dtype,
                                   Device device) {
  DLTensor prototype{nullptr,
                     {kDLCUDA, device.index},
                     static_cast<std::int32_t>(shape.size()),
                     to_dlpack(dtype),
                     const_cast<std::int64_t*>(shape.data()),
                     nullptr,
                     0};
  std::string message;
  const auto note = [](void* text, const char* kind, const char* what) {
    *static_cast<std::string*>(text) = std::string(kind) + ": " + what;
  };
  DLManagedTensorVersioned* managed = nullptr;
  if (api.managed_tensor_allocator(&prototype, &managed, &message, note) == 0) return managed;
  if (PyErr_Occurred() != nullptr) throw nb::python_error();
  message = message.substr(0, message.find('\n'));  // torch appends a trace
  if (message.find("out of memory") == std::string::npos) throw CudaError(message);
  throw OutOfMemory(message);
}

std::byte* data_of(const DLManagedTensorVersioned& managed) {
  return static_cast<std::byte*>(managed.dl_tensor.data) + managed.dl_tensor.byte_offset;
}

/// `managed` as an array of the library of `api`, which then owns it.
Fresh wrap(const DLPackExchangeAPI& api, DLManagedTensorVersioned* managed, const Tensor& view) {
  void* object = nullptr;
  if (api.managed_tensor_to_py_object_no_sync(managed, &object) != 0) throw nb::python_error();
  return {nb::steal(static_cast<PyObject*>(object)), view};
}

Fresh from_torch(const DLPackExchangeAPI& api, std::span<const std::int64_t> shape, DType dtype, Device device,
                 void* stream) {
  if (device.kind == DeviceKind::cpu) {
    const auto block = std::make_shared<Block>(shape, dtype, device, stream);
    return wrap(api, lend(block), block->view());
  }
  DLManagedTensorVersioned* managed = allocate(api, shape, dtype, device);
  return wrap(api, managed, contiguous(data_of(*managed), shape, dtype, device));
}

/// What a result takes of a shared block; more than kSharedBytes: too much.
std::int64_t shared_bytes(const Wanted& result) {
  auto bytes = static_cast<std::int64_t>(size_of(result.dtype));
  if (std::ranges::find(result.shape, 0) != result.shape.end()) return 0;
  for (std::int64_t size : result.shape) bytes *= size;  // refuse_overflow() has seen them
  if (bytes > kSharedBytes) return kSharedBytes + 1;
  return (bytes + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
}

std::vector<Fresh> share_block(const DLPackExchangeAPI& api, std::span<const Wanted> results, std::int64_t bytes,
                               Device device) {
  const std::shared_ptr<DLManagedTensorVersioned> block(allocate(api, {&bytes, 1}, DType::u8, device),
                                                        [](DLManagedTensorVersioned* self) { self->deleter(self); });
  std::vector<Fresh> made;
  made.reserve(results.size());
  std::byte* data = data_of(*block);
  for (const Wanted& result : results) {
    const Tensor view = contiguous(data, result.shape, result.dtype, device);
    made.push_back(wrap(api, lend(block, view), view));
    data += shared_bytes(result);
  }
  return made;
}

/// Throws OutOfMemory for a result that no address space holds.
void refuse_overflow(std::span<const std::int64_t> shape, DType dtype) {
  auto bytes = static_cast<std::int64_t>(size_of(dtype));
  bool overflow = false;
  bool empty = false;
  for (std::int64_t size : shape) {
    empty = empty || size == 0;
    overflow = __builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes) || overflow;
  }
  if (!overflow || empty) return;
  std::string text;
  for (std::int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  throw OutOfMemory("a result of shape [" + text + "] and " + std::string(name(dtype)) + " is more than 2^63 bytes");
}

}  // namespace

Fresh new_array(nb::handle like, std::span<const std::int64_t> shape, DType dtype, Device device, void* stream) {
  refuse_overflow(shape, dtype);
  const ArrayType& type = array_type(like);
  if (type.api != nullptr) return from_torch(*type.api, shape, dtype, device, stream);
  if (device.kind == DeviceKind::cuda && type.library != Library::jax) {
    // cupy and old torch: their own allocators know which streams still use a block.
    nb::list sizes;
    for (std::int64_t size : shape) sizes.append(size);
    const nb::object empty = nb::module_::import_("robocache._frameworks").attr("empty");
    const std::string_view dtype_name = name(dtype);
    nb::object array = empty(like, nb::tuple(sizes), nb::str(dtype_name.data(), dtype_name.size()));
    Loans loans;  // the array itself keeps its memory
    const Tensor view = borrow(array, "align", "the result", stream, loans).view;
    return {std::move(array), view};
  }
  Memory memory{std::make_shared<Block>(shape, dtype, device, stream)};
  const Tensor view = memory.block->view();
  return {nb::cast(std::move(memory)), view};
}

std::vector<Fresh> new_arrays(nb::handle like, std::span<const Wanted> results, Device device, void* stream) {
  const ArrayType& type = array_type(like);
  if (type.api != nullptr && device.kind == DeviceKind::cuda && results.size() > 1) {
    std::int64_t bytes = 0;
    for (const Wanted& result : results) {
      refuse_overflow(result.shape, result.dtype);
      bytes += shared_bytes(result);
    }
    if (bytes <= kSharedBytes) return share_block(*type.api, results, bytes, device);
  }
  std::vector<Fresh> made;
  made.reserve(results.size());
  for (const Wanted& result : results) made.push_back(new_array(like, result.shape, result.dtype, device, stream));
  return made;
}

nb::object deliver(nb::handle like, nb::object array) {
  if (!nb::isinstance<Memory>(array)) return array;
  const std::string_view dtype = name(nb::inst_ptr<Memory>(array)->block->view().dtype);
  return nb::module_::import_("robocache._frameworks").attr("adopt")(like, array, nb::str(dtype.data(), dtype.size()));
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
