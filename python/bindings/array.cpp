#include "array.hpp"

#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>

#include "robocache/error.hpp"

namespace robocache::python {

using namespace dlpack;

namespace {

/// An attribute's name as Python keeps it: making it anew costs more than the look-up (86 against 32 ns).
nb::handle interned(const char* name) { return PyUnicode_InternFromString(name); }

[[noreturn]] void reject(std::string_view op, const Subject& subject, const std::string& got, const std::string& want) {
  throw InvalidArgument(std::string(op) + ": " + subject.text() + " is " + got + ", expected " + want);
}

ArrayType inspect(nb::handle type) {
  ArrayType found;
  const auto module = nb::cast<std::string>(nb::str(nb::getattr(type, "__module__", nb::str(""))));
  const std::string root = module.substr(0, module.find('.'));
  const nb::object ndarray = nb::module_::import_("numpy").attr("ndarray");
  if (PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type.ptr()), reinterpret_cast<PyTypeObject*>(ndarray.ptr())) !=
      0) {
    found.library = Library::numpy;
    found.masked = root == "numpy" && module.find(".ma") != std::string::npos;
  }
  if (root == "cupy") found.library = Library::cupy;
  if (root == "jax" || root == "jaxlib") {
    found.library = Library::jax;
    const nb::object tracer = nb::module_::import_("jax").attr("core").attr("Tracer");
    found.traced = PyObject_IsSubclass(type.ptr(), tracer.ptr()) == 1;
  }
  if (nb::hasattr(type, "__torch_function__")) found.library = Library::torch;
  const nb::object capsule = nb::getattr(type, "__dlpack_c_exchange_api__", nb::none());
  if (PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api") != 0) {
    auto* api = static_cast<const DLPackExchangeAPI*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    while (api != nullptr && api->header.version.major > 1) {
      api = reinterpret_cast<const DLPackExchangeAPI*>(api->header.prev_api);
    }
    found.api = api;
  }
  return found;
}

Tensor view_of(const DLTensor& t, std::string_view op, const Subject& subject) {
  if (t.ndim > kMaxRank) reject(op, subject, std::to_string(t.ndim) + "-dimensional", "at most 8 dimensions");
  Tensor view;
  view.data = static_cast<std::byte*>(t.data) + t.byte_offset;
  view.dtype = to_dtype(t.dtype, op, subject);
  if (t.device.device_type == kDLCUDA || t.device.device_type == kDLCUDAManaged) {
    view.device = {DeviceKind::cuda, t.device.device_id};
  } else if (t.device.device_type != kDLCPU && t.device.device_type != kDLCUDAHost) {
    reject(op, subject, "on DLPack device type " + std::to_string(t.device.device_type), "a CPU or CUDA array");
  }
  view.rank = t.ndim;
  std::int64_t stride = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    view.shape[i] = t.shape[i];
    view.strides[i] = t.strides != nullptr ? t.strides[i] : stride;
    stride *= t.shape[i];
  }
  return view;
}

[[noreturn]] void reject_dtype(nb::handle array, std::string_view op, const Subject& subject) {
  const auto dtype = nb::cast<std::string>(nb::str(nb::getattr(array, "dtype", nb::str("unknown"))));
  const bool calendar = dtype.find("datetime64") != std::string::npos;
  reject(op, subject, "of dtype " + dtype,
         calendar ? "int64 ns, float64 s or float32 s; use .astype('datetime64[ns]').view('int64')"
                  : "a float, integer or bool array in native byte order");
}

/// None for a format that no DType has.
std::optional<DType> dtype_of_format(const char* format, std::size_t item_size, std::string_view op,
                                     const Subject& subject) {
  const char* c = format;
  if (*c == '@' || *c == '=' || *c == '<') ++c;
  const auto bits = static_cast<std::uint8_t>(item_size * 8);
  if (c[0] != '\0' && c[1] == '\0') {
    if (std::strchr("efd", *c) != nullptr) return to_dtype({kDLFloat, bits, 1}, op, subject);
    if (std::strchr("bhilqn", *c) != nullptr) return to_dtype({kDLInt, bits, 1}, op, subject);
    if (std::strchr("BHILQN", *c) != nullptr) return to_dtype({kDLUInt, bits, 1}, op, subject);
    if (*c == '?') return DType::boolean;
  }
  return std::nullopt;
}

Tensor view_of(nb::handle array, const Py_buffer& b, std::string_view op, const Subject& subject) {
  if (b.ndim > kMaxRank) reject(op, subject, std::to_string(b.ndim) + "-dimensional", "at most 8 dimensions");
  Tensor view;
  view.data = b.buf;
  const std::optional<DType> dtype = dtype_of_format(b.format, static_cast<std::size_t>(b.itemsize), op, subject);
  if (!dtype.has_value()) reject_dtype(array, op, subject);
  view.dtype = *dtype;
  view.rank = b.ndim;
  for (int i = 0; i < b.ndim; ++i) {
    view.shape[i] = b.shape[i];
    if (b.strides[i] % b.itemsize != 0) reject(op, subject, "strided by a part of an element", "whole elements");
    view.strides[i] = b.strides[i] / b.itemsize;
  }
  return view;
}

DLTensor look_into(const DLPackExchangeAPI& api, nb::handle array, std::string_view op, const Subject& subject) {
  DLTensor t;
  if (api.dltensor_from_py_object_no_sync(array.ptr(), &t) != 0) {
    reject(op, subject, "an array that cannot be read (" + first_line(nb::python_error()) + ")", "a CPU or CUDA array");
  }
  return t;
}

void* current_stream(const DLPackExchangeAPI& api, int index) {
  void* stream = nullptr;
  if (api.current_work_stream(kDLCUDA, index, &stream) != 0) throw nb::python_error();
  return stream;
}

/// For torch. Whether autograd is on is asked last: that takes a Python call.
void refuse_gradients(nb::handle array, std::string_view op, const Subject& subject) {
  static const nb::handle requires_grad = interned("requires_grad");
  if (!nb::cast<bool>(array.attr(requires_grad))) return;
  if (!nb::cast<bool>(nb::module_::import_("torch").attr("is_grad_enabled")())) return;
  throw Unsupported(std::string(op) + ": " + subject.text() +
                    " is a tensor that requires grad, expected one without; robocache.torch has gradients of align, "
                    "resample and voxelize, else use .detach() or torch.no_grad()");
}

/// For torch: the sign bit is not in the memory that DLPack shows.
void refuse_marked_sign(nb::handle array, std::string_view op, const Subject& subject) {
  static const nb::handle is_neg = interned("is_neg");
  if (nb::cast<bool>(array.attr(is_neg)())) {
    reject(op, subject, "a view whose sign is only marked", "a plain tensor; use .resolve_neg()");
  }
}

/// In jax.jit and jax.grad an array stands for values that are not there yet.
void refuse_traced(const ArrayType& type, std::string_view op, const Subject& subject) {
  if (!type.traced) return;
  reject(op, subject, "a traced jax array", "one with values; call this outside of jax.jit, jax.grad and jax.vmap");
}

/// Integers and bools have neither gradients nor a marked sign.
bool counts(DLDataType type) { return type.code == kDLInt || type.code == kDLUInt || type.code == kDLBool; }

Borrowed borrow_capsule(nb::handle array, std::string_view op, const Subject& subject, void* stream, Loans& loans) {
  int index = 0;
  nb::dict options;
  // In DLPack, CUDA stream 1 is the legacy default stream; 0 is not a stream.
  if (on_cuda(array, op, subject, index)) {
    options["stream"] = stream == nullptr ? std::intptr_t{1} : reinterpret_cast<std::intptr_t>(stream);
  }
  nb::object capsule;
  try {
    capsule = array.attr("__dlpack__")(**options, nb::arg("max_version") = nb::make_tuple(1, 0));
  } catch (nb::python_error& e) {
    if (!e.matches(PyExc_TypeError)) throw;
    capsule = array.attr("__dlpack__")(**options);  // DLPack 0.x producers know no max_version.
  }
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned") != 0) {
    auto* t = static_cast<DLManagedTensorVersioned*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    PyCapsule_SetName(capsule.ptr(), "used_dltensor_versioned");
    loans.keep(t);
    return {view_of(t->dl_tensor, op, subject), (t->flags & kReadOnly) == 0, false};
  }
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor") == 0) reject(op, subject, class_name(array), "a DLPack array");
  auto* t = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  loans.keep(t);
  return {view_of(t->dl_tensor, op, subject), true, false};
}

Borrowed borrow_buffer(nb::handle array, std::string_view op, const Subject& subject, Loans& loans) {
  Py_buffer buffer;
  if (PyObject_GetBuffer(array.ptr(), &buffer, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
    PyErr_Clear();
    // numpy has no buffer format for ml_dtypes' bfloat16: look at its bits instead.
    if (nb::cast<std::string>(nb::str(nb::getattr(array, "dtype", nb::str("")))) != "bfloat16") {
      reject_dtype(array, op, subject);
    }
    nb::object bits = array.attr("view")("uint16");
    Borrowed borrowed = borrow_buffer(bits, op, subject, loans);
    borrowed.view.dtype = DType::bf16;
    loans.keep(std::move(bits));
    return borrowed;
  }
  loans.keep(buffer);
  return {view_of(array, buffer, op, subject), buffer.readonly == 0, false};
}

}  // namespace

std::string first_line(const nb::python_error& error) {
  const auto text = nb::cast<std::string>(nb::str(error.value()));
  return text.substr(0, text.find('\n'));
}

std::string class_name(nb::handle object) { return nb::cast<std::string>(nb::str(object.type().attr("__name__"))); }

const ArrayType& array_type(nb::handle array) {
  static std::unordered_map<PyTypeObject*, ArrayType> known;  // under the GIL; types are kept alive below
  static std::pair<PyTypeObject*, const ArrayType*> last{};   // the arrays of a call mostly share a type
  auto* type = Py_TYPE(array.ptr());
  if (type == last.first) return *last.second;
  auto it = known.find(type);
  if (it == known.end()) {
    it = known.emplace(type, inspect(nb::handle(reinterpret_cast<PyObject*>(type)))).first;
    Py_INCREF(type);
  }
  last = {type, &it->second};
  return it->second;
}

Loans::~Loans() {
  for (Py_buffer& buffer : buffers_) PyBuffer_Release(&buffer);
  for (DLManagedTensor* tensor : legacy_) {
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  }
  for (DLManagedTensorVersioned* tensor : versioned_) {
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  }
}

Borrowed borrow(nb::handle array, std::string_view op, const Subject& subject, void* stream, Loans& loans) {
  const ArrayType& type = array_type(array);
  const bool torch = type.library == Library::torch;
  if (type.api != nullptr) {
    const DLTensor t = look_into(*type.api, array, op, subject);
    if (torch && !counts(t.dtype)) {
      refuse_gradients(array, op, subject);
      refuse_marked_sign(array, op, subject);
    }
    // DLPack's slow path orders the work of torch's own stream before ours, where they are not the same.
    if (t.device.device_type == kDLCPU || current_stream(*type.api, t.device.device_id) == stream) {
      return {view_of(t, op, subject), true, false};
    }
  } else if (torch) {
    refuse_gradients(array, op, subject);
    refuse_marked_sign(array, op, subject);
  }
  refuse_traced(type, op, subject);
  if (type.masked) reject(op, subject, "a masked array", "a plain one: the mask would be lost; use .filled()");
  // numpy by its buffer: that also shows read-only arrays. Others by DLPack: jax has a buffer that fails on CUDA.
  const bool dlpack = type.library != Library::numpy && nb::hasattr(array, "__dlpack__");
  if (!dlpack && PyObject_CheckBuffer(array.ptr()) != 0) return borrow_buffer(array, op, subject, loans);
  if (!dlpack) {
    reject(op, subject, class_name(array), "an array with DLPack or the buffer protocol (numpy, torch, jax, cupy ...)");
  }
  Borrowed borrowed = borrow_capsule(array, op, subject, stream, loans);
  borrowed.writable = borrowed.writable && type.library != Library::jax;  // immutable, whatever DLPack says
  borrowed.unordered = borrowed.view.device.kind == DeviceKind::cuda && type.library == Library::jax;
  return borrowed;
}

bool on_cuda(nb::handle array, std::string_view op, const Subject& subject, int& index) {
  const ArrayType& type = array_type(array);
  if (type.api != nullptr) {
    const DLTensor t = look_into(*type.api, array, op, subject);
    index = t.device.device_id;
    return t.device.device_type == kDLCUDA || t.device.device_type == kDLCUDAManaged;
  }
  refuse_traced(type, op, subject);
  if (type.library == Library::numpy || !nb::hasattr(array, "__dlpack_device__")) return false;
  const nb::object device = array.attr("__dlpack_device__")();
  const int kind = nb::cast<int>(nb::int_(device[0]));
  index = nb::cast<int>(nb::int_(device[1]));
  if (kind != kDLCPU && kind != kDLCUDA && kind != kDLCUDAHost && kind != kDLCUDAManaged) {
    reject(op, subject, "on DLPack device type " + std::to_string(kind), "a CPU or CUDA array");
  }
  return kind == kDLCUDA || kind == kDLCUDAManaged;
}

void* current_stream(nb::handle array, int index) {
  const ArrayType& type = array_type(array);
  if (type.api != nullptr) return current_stream(*type.api, index);
  const nb::object stream = nb::module_::import_("robocache._frameworks").attr("current_stream")(array, index);
  return reinterpret_cast<void*>(nb::cast<std::intptr_t>(stream));
}

DType to_dtype(DLDataType type, std::string_view op, const Subject& subject) {
  if (type.lanes == 1) {
    for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
      const auto dtype = static_cast<DType>(i);
      const DLDataType known = to_dlpack(dtype);
      if (known.code == type.code && known.bits == type.bits) return dtype;
    }
  }
  reject(op, subject,
         "of DLPack dtype (code " + std::to_string(type.code) + ", " + std::to_string(type.bits) + " bits)",
         "a float16, bfloat16, float32, float64, integer or bool array");
}

DLDataType to_dlpack(DType dtype) noexcept {
  const auto bits = static_cast<std::uint8_t>(size_of(dtype) * 8);
  switch (dtype) {
    case DType::f64:
    case DType::f32:
    case DType::f16:
      return {kDLFloat, bits, 1};
    case DType::bf16:
      return {kDLBfloat, bits, 1};
    case DType::i64:
    case DType::i32:
    case DType::i16:
    case DType::i8:
      return {kDLInt, bits, 1};
    case DType::boolean:
      return {kDLBool, bits, 1};
    default:
      return {kDLUInt, bits, 1};
  }
}

}  // namespace robocache::python
