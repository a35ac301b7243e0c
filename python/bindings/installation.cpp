#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "bindings.hpp"
#include "core/build.hpp"
#include "core/isa.hpp"
#include "core/thread_pool.hpp"
#include "cuda/device_name.hpp"
#include "memory/cuda_memory.hpp"
#include "robocache/memory.hpp"

namespace robocache::python {

namespace nb = nanobind;

namespace {

std::string why_no_cuda() {
  if constexpr (build::cuda) return std::string(cuda::why_no_device());
  return "this build has no CUDA backend";
}

std::string cuda_device_name(int index) {
  if constexpr (build::cuda) return cuda::device_name(index);
  return {};
}

}  // namespace

void bind_installation(nb::module_& m) {
  m.def("cuda_build", [] { return build::cuda; }, "Whether the module was built with the CUDA backend.");
  m.def("cuda_device_count", &cuda_device_count, "Number of usable CUDA devices.");
  m.def("why_no_cuda", &why_no_cuda, "Why there is no usable CUDA device; empty where there is one.");
  m.def("cuda_device_name", &cuda_device_name, nb::arg("index"), "The name of CUDA device `index`.");
  m.def(
      "cpu_isa", [] { return std::string(name(active_isa())); },
      "The instruction-set level of the CPU kernels in use.");
  m.def("cpu_threads", [] { return processor_count(); }, "Processors that a call may use.");
}

}  // namespace robocache::python
