#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "bindings.hpp"
#include "output.hpp"
#include "robocache/error.hpp"

namespace nb = nanobind;
using namespace robocache;

namespace {

template <class E>
bool raise_as(const std::exception_ptr& error, const char* python_name) {
  try {
    std::rethrow_exception(error);
  } catch (const E& e) {
    const nb::object type = nb::module_::import_("robocache.errors").attr(python_name);
    PyErr_SetString(type.ptr(), e.what());
    return true;
  } catch (...) {
    return false;
  }
}

void translate(const std::exception_ptr& error, void* /*payload*/) {
  if (raise_as<InvalidArgument>(error, "InvalidArgument") || raise_as<Unsupported>(error, "Unsupported") ||
      raise_as<DataError>(error, "DataError") || raise_as<CudaError>(error, "CudaError") ||
      raise_as<OutOfMemory>(error, "OutOfMemory")) {
    return;
  }
  std::rethrow_exception(error);
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "RoboCache's C++ core. Use the names that the package `robocache` exports.";
  nb::set_leak_warnings(false);  // Streams kept in module globals at exit are no leak worth a message.
  nb::register_exception_translator(translate);
  python::bind_memory(m);
  python::bind_installation(m);
  python::bind_align(m);
  python::bind_align_gradient(m);
  python::bind_plan(m);
  python::bind_point_operators(m);
  python::bind_loader(m);
  python::bind_sampler(m);
  python::bind_store(m);
  python::bind_tfrecord(m);
  python::bind_voxelize(m);
  python::bind_voxelize_sparse(m);
}
