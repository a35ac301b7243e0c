#pragma once

#include "core/build.hpp"
#include "core/check.hpp"
#include "core/isa.hpp"
#include "core/visit.hpp"
#include "cuda/device_guard.hpp"

namespace robocache {

/// on_cpu.operator()<isa>() with the active ISA level, or on_cuda() with `device` current. Throws Unsupported in the name
/// of `op` for CUDA in a build without it, where on_cuda is never compiled into anything.
template <class OnCpu, class OnCuda>
void run_on(Device device, [[maybe_unused]] const char* op, const OnCpu& on_cpu,
            [[maybe_unused]] const OnCuda& on_cuda) {
  if (device.kind == DeviceKind::cpu) {
    visit(active_isa(), BuiltIsas{}, [&]<Isa isa>() { on_cpu.template operator()<isa>(); });
  } else if constexpr (build::cuda) {
    const cuda::DeviceGuard guard(device.index);
    on_cuda();
  } else {
    no_cuda(op);
  }
}

}  // namespace robocache
