#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "core/build.hpp"
#include "core/check.hpp"
#include "cuda/device_guard.hpp"
#include "cuda/status.hpp"
#include "kernels/align.hpp"

namespace robocache {

namespace {

/// The dimensions that all streams of a call share.
struct CallDims {
  const char* list;  ///< what errors call the streams; null: there is only one, and its members are named alone
  Dim batch{"B"};
  Dim targets{"T"};
  DType time;
  Device device;
};

const char* const kStampHint = "stamps and targets of one call share a dtype: int64 ns, float64 s or float32 s";

IndexList index_list(const Check& check, const Subject& subject, const ConstTensor& list, Device device) {
  if (!list.given()) return {};
  check.dtype(subject, list, AlignIndices{});
  check.device(subject, list, device);
  return {list.data, list.strides[0], list.dtype == DType::i64};
}

const float* column_factors(const Check& check, const Subject& subject, const ConstTensor& list, Dim& columns,
                            Device device) {
  if (!list.given()) return nullptr;
  check.shape(subject, list, {&columns});
  check.dtype(subject, list, DType::f32);
  check.device(subject, list, device);
  if (list.strides[0] != 1 && list.shape[0] > 1) check.fail(subject, "strided", "contiguous");
  return static_cast<const float*>(list.data);
}

/// Shapes of the samples: [G, S, D] and [G, S] or [S], or packed [N, D] and [N] with offsets.
void samples(const Check& check, std::size_t i, const Stream& stream, CallDims& call, AlignStream& s) {
  const Subject values{call.list, i, stream.name, "values"};
  const Subject stamps{call.list, i, stream.name, "stamps"};
  Dim segments{"G"};
  Dim count{stream.offsets.given() ? "N" : "S"};
  Dim columns{"D"};
  if (stream.offsets.given()) {
    if (stream.lengths.given()) {
      check.fail({call.list, i, stream.name, "lengths"}, "given beside offsets", "one of the two");
    }
    const Subject offsets{call.list, i, stream.name, "offsets"};
    if (stream.offsets.rank != 1 || stream.offsets.shape[0] < 1) {
      check.fail(offsets, shape_text(stream.offsets), "[G+1]");
    }
    segments.value = stream.offsets.shape[0] - 1;
    check.shape(values, stream.values, {&count, &columns});
    check.shape(stamps, stream.stamps, {&count});
    s.offsets = index_list(check, offsets, stream.offsets, call.device);
  } else {
    if (!stream.rows.given()) segments = {"B", call.batch.value};
    check.shape(values, stream.values, {&segments, &count, &columns});
    if (stream.stamps.rank == 1) {
      check.shape(stamps, stream.stamps, {&count});
    } else {
      check.shape(stamps, stream.stamps, {&segments, &count});
      s.stamp_batch = stream.stamps.strides[0];
    }
    s.value_batch = stream.values.strides[0];
  }
  const int rank = stream.values.rank;
  s.value_row = stream.values.strides[rank - 2];
  s.value_column = columns.value > 1 ? stream.values.strides[rank - 1] : 1;
  s.stamp_row = stream.stamps.strides[stream.stamps.rank - 1];
  if (stream.lengths.given()) {
    check.shape({call.list, i, stream.name, "lengths"}, stream.lengths, {&segments});
    s.lengths = index_list(check, {call.list, i, stream.name, "lengths"}, stream.lengths, call.device);
  }
  if (stream.rows.given()) {
    check.shape({call.list, i, stream.name, "rows"}, stream.rows, {&call.batch});
    s.rows = index_list(check, {call.list, i, stream.name, "rows"}, stream.rows, call.device);
  } else {
    if (call.batch.value < 0) call.batch.value = segments.value;
    if (call.batch.value != segments.value) {
      check.fail({call.list, i, stream.name, "offsets"}, std::to_string(segments.value) + " segments",
                 "B=" + std::to_string(call.batch.value));
    }
  }
  s.values = stream.values.data;
  s.stamps = stream.stamps.data;
  s.samples = count.value;
  s.segments = segments.value;
  s.columns = columns.value;
  s.scale = column_factors(check, {call.list, i, stream.name, "scale"}, stream.scale, columns, call.device);
  s.bias = column_factors(check, {call.list, i, stream.name, "bias"}, stream.bias, columns, call.device);
}

void policy(const Check& check, std::size_t i, const Stream& stream, const CallDims& call, AlignStream& s) {
  const bool floats = is_float(stream.values.dtype);
  Interp interp = stream.interp;
  if (interp == Interp::automatic) interp = floats ? Interp::linear : Interp::hold;
  if (!floats && (interp == Interp::linear || interp == Interp::slerp)) {
    check.unsupported({call.list, i, stream.name, "interp"}, interp == Interp::linear ? "linear" : "slerp",
                      "hold or nearest for " + std::string(name(stream.values.dtype)) + " values",
                      "cast the values to a float dtype to blend them");
  }
  if (interp == Interp::slerp && s.columns % 4 != 0) {
    check.fail({call.list, i, stream.name, "values"}, shape_text(stream.values), "a multiple of 4 columns for slerp",
               "a quaternion is four columns");
  }
  if (stream.max_gap_ns < 0)
    check.fail({call.list, i, stream.name, "max_gap_ns"}, std::to_string(stream.max_gap_ns), ">= 0");
  if (stream.max_age_ns < 0)
    check.fail({call.list, i, stream.name, "max_age_ns"}, std::to_string(stream.max_age_ns), ">= 0");
  s.place = {interp, stream.before, stream.after, stream.max_gap_ns, stream.max_age_ns};
  s.offset_ns = stream.offset_ns;
  s.dtype = stream.values.dtype;
}

void read_stream(const Check& check, std::size_t i, const Stream& stream, CallDims& call, AlignStream& s) {
  const Subject stamps{call.list, i, stream.name, "stamps"};
  check.device({call.list, i, stream.name, "values"}, stream.values, call.device);
  check.device(stamps, stream.stamps, call.device);
  check.dtype(stamps, stream.stamps, AlignTimes{});
  if (stream.stamps.dtype != call.time) {
    check.fail(stamps, name(stream.stamps.dtype), std::string(name(call.time)) + " like at", kStampHint);
  }
  samples(check, i, stream, call, s);
  policy(check, i, stream, call, s);
}

void read_targets(const Check& check, const Targets& targets, CallDims& call, AlignArgs& args) {
  const ConstTensor& at = targets.at;
  check.dtype("at", at, AlignTimes{});
  if (at.rank == 1) {
    check.shape("at", at, {&call.targets});
  } else {
    check.shape("at", at, {&call.batch, &call.targets});
    args.at_batch = at.strides[0];
  }
  args.at = at.data;
  args.at_row = at.strides[at.rank - 1];
  if (!targets.origin.given()) return;
  check.shape("origin", targets.origin, {&call.batch});
  check.dtype("origin", targets.origin, at.dtype);
  check.device("origin", targets.origin, call.device);
  args.origin = targets.origin.data;
  args.origin_row = targets.origin.strides[0];
}

/// Points stream i at `columns` columns of `out` from column `first` on.
void write_to(const Check& check, const Subject& subject, const Tensor& out, Dim* columns, std::int64_t first,
              CallDims& call, AlignStream& s) {
  check.shape(subject, out, {&call.batch, &call.targets, columns});
  check.device(subject, out, call.device);
  if (columns->value > 1 && out.strides[2] != 1) check.fail(subject, "strided in its columns", "contiguous columns");
  if (out.dtype != s.dtype && !is_float(out.dtype)) {
    check.unsupported(subject, name(out.dtype), std::string(name(s.dtype)) + " (as the values) or a float dtype");
  }
  if ((s.scale != nullptr || s.bias != nullptr) && !is_float(out.dtype)) {
    check.fail(subject, name(out.dtype), "a float dtype where scale or bias is given");
  }
  s.out = static_cast<std::byte*>(out.data) + first * static_cast<std::int64_t>(size_of(out.dtype));
  s.out_batch = out.strides[0];
  s.out_row = out.strides[1];
  s.out_dtype = out.dtype;
}

void write_outputs(const Check& check, std::span<const Tensor> out, CallDims& call, std::span<AlignStream> streams) {
  Dim all{"sum D", 0};
  for (const AlignStream& s : streams) all.value += s.columns;
  if (out.size() == 1) {
    std::int64_t first = 0;
    for (AlignStream& s : streams) {
      write_to(check, "out", out[0], &all, first, call, s);
      first += s.columns;
    }
    return;
  }
  if (out.size() != streams.size()) {
    check.fail("out", std::to_string(out.size()) + " tensors",
               "1, or one for each of the " + std::to_string(streams.size()) + " streams");
  }
  for (std::size_t i = 0; i < streams.size(); ++i) {
    Dim columns{"D", streams[i].columns};
    write_to(check, {"out", i, {}, ""}, out[i], &columns, 0, call, streams[i]);
  }
}

void write_marks(const Check& check, const Tensor& valid, const Tensor& age_ns, CallDims& call, AlignArgs& args) {
  const auto count = static_cast<std::int64_t>(args.streams.size());
  if (valid.given()) {
    check.shape("valid", valid, {&call.batch, &call.targets, count});
    check.dtype("valid", valid, DType::boolean);
    check.device("valid", valid, call.device);
    args.valid = static_cast<bool*>(valid.data);
    args.valid_batch = valid.strides[0];
    args.valid_row = valid.strides[1];
    args.valid_stream = valid.strides[2];
  }
  if (age_ns.given()) {
    check.shape("age_ns", age_ns, {&call.batch, &call.targets, count});
    check.dtype("age_ns", age_ns, DType::i64);
    check.device("age_ns", age_ns, call.device);
    args.age_ns = static_cast<std::int64_t*>(age_ns.data);
    args.age_batch = age_ns.strides[0];
    args.age_row = age_ns.strides[1];
    args.age_stream = age_ns.strides[2];
  }
}

/// What describe() calls stream i.
std::string subject(const char* list, std::size_t i, const Stream& stream) {
  if (list == nullptr) return {};
  std::string text = Subject(list, i, stream.name, "").text() + ".";
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Pending run_on_cpu(const char* op, const char* list, const AlignArgs& args, std::span<const Stream> streams,
                   const Context& ctx) {
  Fault fault;
  visit(active_isa(), BuiltIsas{}, [&]<Isa isa>() { fault = cpu::align<isa>(args, ctx); });
  if (fault.code == Fault::Code::none) return {};
  throw InvalidArgument(describe(op, fault, subject(list, fault.stream, streams[fault.stream])));
}

Pending run_on_cuda(const char* op, const char* list, const AlignArgs& args, int device,
                    std::span<const Stream> streams, DataCheck when, const Context& ctx) {
  if constexpr (build::cuda) {
    const cuda::DeviceGuard guard(device);
    if (when == DataCheck::off) {
      cuda::align(args, {}, ctx);
      return {};
    }
    cuda::raise_earlier(device);
    std::string subjects;
    for (std::size_t i = 0; i < streams.size(); ++i) subjects.append(subject(list, i, streams[i])).append("\n");
    const FaultSink sink = cuda::open_sink(device, ctx.stream, op, std::move(subjects));
    cuda::align(args, sink, ctx);
    Pending pending = cuda::pending(device, ctx.stream, sink);
    if (when == DataCheck::now) pending.check();
    return pending;
  } else {
    no_cuda(op);
  }
}

/// `op` names the public function in errors: a string literal.
Pending run(const char* op, const char* list, std::span<const Stream> streams, const Targets& at,
            std::span<const Tensor> out, const Tensor& valid, const Tensor& age_ns, DataCheck when,
            const Context& ctx) {
  const Check check{op};
  if (streams.empty()) check.fail("streams", "empty", "at least one stream");
  CallDims call{.list = list, .time = at.at.dtype, .device = at.at.device};
  AlignArgs args;
  args.time = call.time;
  args.check_data = when != DataCheck::off;
  read_targets(check, at, call, args);
  std::vector<AlignStream> read(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) read_stream(check, i, streams[i], call, read[i]);
  args.streams = read;
  args.batch = call.batch.value;
  args.targets = call.targets.value;
  write_outputs(check, out, call, read);
  write_marks(check, valid, age_ns, call, args);
  if (args.batch == 0 || args.targets == 0) return {};
  if (call.device.kind == DeviceKind::cpu) return run_on_cpu(op, list, args, streams, ctx);
  return run_on_cuda(op, list, args, call.device.index, streams, when, ctx);
}

}  // namespace

Pending align(std::span<const Stream> streams, const Targets& at, std::span<const Tensor> out, const Tensor& valid,
              const Tensor& age_ns, DataCheck when, const Context& ctx) {
  return run("align", "streams", streams, at, out, valid, age_ns, when, ctx);
}

Pending resample(const Stream& stream, const Targets& at, const Tensor& out, DataCheck when, const Context& ctx) {
  return run("resample", nullptr, {&stream, 1}, at, {&out, 1}, {}, {}, when, ctx);
}

}  // namespace robocache
