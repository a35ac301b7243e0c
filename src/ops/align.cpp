#include <string>
#include <utility>
#include <vector>

#include "core/build.hpp"
#include "core/footprint.hpp"
#include "cuda/device_guard.hpp"
#include "cuda/status.hpp"
#include "ops/align_inputs.hpp"

namespace robocache {

namespace {

/// What a call reads, as far as it can be long, and what it writes: in memory of its own.
class CallMemory {
 public:
  CallMemory(const AlignInputs& in, std::span<const Stream> streams) : check_(in.check()) {
    arrays_.reserve(3 * streams.size() + 4);
    for (std::size_t i = 0; i < streams.size(); ++i) {
      read(in.subject(i, streams[i], "values"), streams[i].values);
      read(in.subject(i, streams[i], "stamps"), streams[i].stamps);
      read(in.subject(i, streams[i], "mask"), streams[i].mask);
    }
  }

  void read(const Subject& subject, const ConstTensor& tensor) {
    if (tensor.given()) arrays_.push_back({subject, Footprint{tensor}});
  }
  /// Throws where the array shares memory with one before it, or its elements with each other.
  void write(const Subject& subject, const Tensor& tensor) {
    for (std::int32_t i = 0; i < tensor.rank; ++i) {
      if (tensor.strides[i] != 0 || tensor.shape[i] < 2 || tensor.numel() == 0) continue;
      check_.fail(subject, "expanded (stride 0)", "memory of its own for each element");
    }
    const Footprint footprint{tensor};
    for (const Array& array : arrays_) {
      if (!footprint.meets(array.footprint)) continue;
      check_.fail(subject, "in the memory of " + array.subject.text(), "memory of its own");
    }
    read(subject, tensor);
  }
  void write(std::span<const Tensor> out) {
    if (out.size() == 1) return write("out", out[0]);
    for (std::size_t i = 0; i < out.size(); ++i) write({"out", i, {}, ""}, out[i]);
  }

 private:
  struct Array {
    Subject subject;
    Footprint footprint;
  };

  const Check& check_;
  std::vector<Array> arrays_;
};

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
  CallMemory memory(in, streams);
  memory.read("at", at.at);
  memory.write(out);
  memory.write("valid", valid);
  memory.write("age_ns", age_ns);
  return run_align("align", in, streams, when, ctx);
}

Pending resample(const Stream& stream, const Targets& at, const Tensor& out, DataCheck when, const Context& ctx) {
  AlignInputs in("resample", nullptr, when);
  in.read_targets(at);
  in.read_streams({&stream, 1});
  in.write_outputs({&out, 1});
  CallMemory memory(in, {&stream, 1});
  memory.read("at", at.at);
  memory.write("out", out);
  return run_align("resample", in, {&stream, 1}, when, ctx);
}

Pending plan(const Stream& clock, const Targets& at, const Tensor& steps, const Tensor& valid, const Tensor& age_ns,
             DataCheck when, const Context& ctx) {
  AlignInputs in("plan", nullptr, when);
  in.read_targets(at);
  in.read_clock(clock, steps);
  in.write_marks(valid, age_ns);
  CallMemory memory(in, {&clock, 1});
  memory.read("at", at.at);
  memory.write("steps", steps);
  memory.write("valid", valid);
  memory.write("age_ns", age_ns);
  return run_align("plan", in, {&clock, 1}, when, ctx);
}

void apply_plan(const ConstTensor& steps, const Stream& stream, const Tensor& out, const Context& ctx) {
  AlignInputs in("apply_plan", nullptr, DataCheck::off);
  in.read_values(stream, steps);
  in.write_outputs({&out, 1});
  CallMemory memory(in, {&stream, 1});
  memory.read("steps", steps);
  memory.write("out", out);
  run_align("apply_plan", in, {&stream, 1}, DataCheck::off, ctx);
}

}  // namespace robocache
