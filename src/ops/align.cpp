#include <string>
#include <utility>

#include "core/build.hpp"
#include "cuda/device_guard.hpp"
#include "cuda/status.hpp"
#include "ops/align_inputs.hpp"

namespace robocache {

namespace {

Pending run_on_cpu(const char* op, AlignInputs& in, std::span<const Stream> streams, const Context& ctx) {
  Fault fault;
  visit(active_isa(), BuiltIsas{}, [&]<Isa isa>() { fault = cpu::align<isa>(in.args(), ctx); });
  if (fault.code == Fault::Code::none) return {};
  throw InvalidArgument(describe(op, fault, in.prefix(fault.stream, streams[fault.stream])));
}

Pending run_on_cuda(const char* op, AlignInputs& in, std::span<const Stream> streams, DataCheck when,
                    const Context& ctx) {
  if constexpr (build::cuda) {
    const int device = in.device().index;
    const cuda::DeviceGuard guard(device);
    if (when == DataCheck::off) {
      cuda::align(in.args(), {}, ctx);
      return {};
    }
    cuda::raise_earlier(device);
    std::string subjects;
    for (std::size_t i = 0; i < streams.size(); ++i) subjects.append(in.prefix(i, streams[i])).append("\n");
    const FaultSink sink = cuda::open_sink(device, ctx.stream, op, std::move(subjects));
    cuda::align(in.args(), sink, ctx);
    Pending pending = cuda::pending(device, ctx.stream, sink);
    if (when == DataCheck::now) pending.check();
    return pending;
  } else {
    no_cuda(op);
  }
}

}  // namespace

Pending run_align(const char* op, AlignInputs& in, std::span<const Stream> streams, DataCheck when,
                  const Context& ctx) {
  if (in.args().batch == 0 || in.args().targets == 0) return {};
  if (in.device().kind == DeviceKind::cpu) return run_on_cpu(op, in, streams, ctx);
  return run_on_cuda(op, in, streams, when, ctx);
}

Pending align(std::span<const Stream> streams, const Targets& at, std::span<const Tensor> out, const Tensor& valid,
              const Tensor& age_ns, DataCheck when, const Context& ctx) {
  AlignInputs in("align", "streams", when);
  in.read_targets(at);
  in.read_streams(streams);
  in.write_outputs(out);
  in.write_marks(valid, age_ns);
  return run_align("align", in, streams, when, ctx);
}

Pending resample(const Stream& stream, const Targets& at, const Tensor& out, DataCheck when, const Context& ctx) {
  AlignInputs in("resample", nullptr, when);
  in.read_targets(at);
  in.read_streams({&stream, 1});
  in.write_outputs({&out, 1});
  return run_align("resample", in, {&stream, 1}, when, ctx);
}

Pending plan(const Stream& clock, const Targets& at, const Tensor& steps, const Tensor& valid, const Tensor& age_ns,
             DataCheck when, const Context& ctx) {
  AlignInputs in("plan", nullptr, when);
  in.read_targets(at);
  in.read_clock(clock, steps);
  in.write_marks(valid, age_ns);
  return run_align("plan", in, {&clock, 1}, when, ctx);
}

void apply_plan(const ConstTensor& steps, const Stream& stream, const Tensor& out, const Context& ctx) {
  AlignInputs in("apply_plan", nullptr, DataCheck::off);
  in.read_values(stream, steps);
  in.write_outputs({&out, 1});
  run_align("apply_plan", in, {&stream, 1}, DataCheck::off, ctx);
}

}  // namespace robocache
