#include "kernels/align_gradient.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "ops/align_inputs.hpp"
#include "ops/run_on.hpp"

namespace robocache {

namespace {

const char* const kOp = "align_gradient";

/// The arguments of one call: streams and targets as align reads them, and the gradients beside them.
class Inputs {
 public:
  Inputs(std::span<const Stream> streams, const Targets& at, DataCheck when)
      : align_(kOp, "streams", when), streams_(streams) {
    align_.read_targets(at);
    align_.read_streams(streams);
    batch_.value = align_.args().batch;
    targets_.value = align_.args().targets;
  }

  void read(std::span<const ConstTensor> grad_out, std::span<const ConstTensor> out,
            std::span<const Tensor> grad_values) {
    const Check& check = align_.check();
    one_or_each("grad_out", grad_out.size());
    if (!out.empty() && out.size() != grad_out.size()) {
      check.fail("out", count(out.size()), count(grad_out.size()) + " as grad_out");
    }
    if (grad_values.size() != streams_.size()) {
      check.fail("grad_values", count(grad_values.size()), "one for each of the " + count(streams_.size()));
    }
    Dim all{"sum D", 0};
    for (const AlignStream& run : align_.entries()) all.value += run.columns;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      const bool joined = grad_out.size() == 1;
      Dim columns{"D", 0};
      for (const AlignStream& run : align_.runs_of(i)) columns.value += run.columns;
      const Upstream upstream{joined ? 0 : i, joined ? &all : &columns, joined ? first : 0};
      if (grad_values[i].given()) add_stream(i, grad_out, out, upstream, grad_values[i], columns);
      first += columns.value;
    }
  }

  [[nodiscard]] AlignInputs& align() { return align_; }
  [[nodiscard]] std::span<const AlignGradientStream> streams() const { return entries_; }

 private:
  /// Where the columns of a stream are among the tensors of grad_out and out.
  struct Upstream {
    std::size_t tensor;
    Dim* columns;  ///< of that tensor
    std::int64_t first;
  };

  static std::string count(std::size_t n) { return std::to_string(n) + (n == 1 ? " tensor" : " tensors"); }

  void one_or_each(const char* subject, std::size_t n) const {
    if (n == 1 || n == streams_.size()) return;
    align_.check().fail(subject, count(n), "1, or one for each of the " + std::to_string(streams_.size()) + " streams");
  }

  void add_stream(std::size_t i, std::span<const ConstTensor> grad_out, std::span<const ConstTensor> out,
                  const Upstream& upstream, const Tensor& grad_values, Dim columns) {
    const Check& check = align_.check();
    const Subject upstream_subject{"grad_out", upstream.tensor, {}, ""};
    const ConstTensor& grad = grad_out[upstream.tensor];
    check.shape(upstream_subject, grad, {&batch_, &targets_, upstream.columns});
    check.dtype(upstream_subject, grad, AlignFloats{});
    check.device(upstream_subject, grad, align_.device());
    AlignGradientStream stream;
    read_values(i, grad_values, columns, stream);
    stream.grad_out_batch = grad.strides[0];
    stream.grad_out_row = grad.strides[1];
    stream.grad_out_column = grad.strides[2];
    std::int64_t first = 0;
    for (const AlignStream& run : align_.runs_of(i)) {
      AlignGradientStream entry = stream;
      entry.align = run;
      entry.align.out_dtype = grad.dtype;
      entry.grad_out = at_column(grad, (upstream.first + first) * grad.strides[2]);
      entry.grad_values = static_cast<std::byte*>(grad_values.data) +
                          first * stream.grad_value_column * static_cast<std::int64_t>(size_of(grad_values.dtype));
      if (has_quaternion(run.place.interp)) read_out(out, grad, upstream, first, entry.align);
      first += run.columns;
      if (run.columns > 0 && entry.rows() > 0) entries_.push_back(entry);
    }
  }

  static const std::byte* at_column(const ConstTensor& tensor, std::int64_t elements) {
    return static_cast<const std::byte*>(tensor.data) + elements * static_cast<std::int64_t>(size_of(tensor.dtype));
  }

  void read_values(std::size_t i, const Tensor& grad_values, Dim columns, AlignGradientStream& stream) const {
    const Check& check = align_.check();
    const Subject subject{"grad_values", i, {}, ""};
    const ConstTensor& values = streams_[i].values;
    if (!is_float(values.dtype)) {
      check.fail(subject, "given for " + std::string(name(values.dtype)) + " values", "not given",
                 "only floats have a gradient");
    }
    check.dtype(subject, grad_values, values.dtype);
    check.device(subject, grad_values, align_.device());
    Dim segments{"G", values.shape[0]};
    Dim samples{streams_[i].offsets.given() ? "N" : "S", values.shape[values.rank - 2]};
    const int rank = values.rank;
    if (rank == 2) {
      check.shape(subject, grad_values, {&samples, &columns});
    } else {
      check.shape(subject, grad_values, {&segments, &samples, &columns});
      stream.grad_value_batch = grad_values.strides[0];
      stream.shared = grad_values.strides[0] == 0 && segments.value > 1;
    }
    stream.grad_value_row = grad_values.strides[rank - 2];
    stream.grad_value_column = grad_values.strides[rank - 1];
    const bool rows_alike = samples.value > 1 && columns.value > 0 && stream.grad_value_row == 0;
    if (rows_alike || (columns.value > 1 && stream.grad_value_column == 0)) {
      check.fail(subject, "expanded (stride 0)", "memory of its own for each sample and column");
    }
  }

  void read_out(std::span<const ConstTensor> out, const ConstTensor& grad, const Upstream& upstream, std::int64_t first,
                AlignStream& run) {
    const Check& check = align_.check();
    if (out.empty()) {
      check.fail("out", "not given", "what align wrote",
                 "the sign of a quaternion depends on the row before it, and is read from there");
    }
    const ConstTensor& written = out[upstream.tensor];
    const Subject subject{"out", upstream.tensor, {}, ""};
    check.shape(subject, written, {&batch_, &targets_, upstream.columns});
    check.dtype(subject, written, grad.dtype);
    check.device(subject, written, align_.device());
    if (upstream.columns->value > 1 && written.strides[2] != 1) {
      check.fail(subject, "strided in its columns", "contiguous columns");
    }
    run.out = const_cast<std::byte*>(at_column(written, upstream.first + first));  // only read
    run.out_batch = written.strides[0];
    run.out_row = written.strides[1];
  }

  AlignInputs align_;
  std::span<const Stream> streams_;
  Dim batch_{"B"};
  Dim targets_{"T"};
  std::vector<AlignGradientStream> entries_;
};

/// align without a column and without marks: nothing but a look at the data.
Pending check_data(AlignInputs& in, std::span<const Stream> streams, DataCheck when, const Context& ctx) {
  if (when == DataCheck::off) return {};
  for (AlignStream& run : in.entries()) run.columns = 0;
  return run_align(kOp, in, streams, when, ctx);
}

}  // namespace

Pending align_gradient(std::span<const Stream> streams, const Targets& at, std::span<const ConstTensor> grad_out,
                       std::span<const ConstTensor> out, std::span<const Tensor> grad_values, DataCheck when,
                       const Context& ctx) {
  Inputs in(streams, at, when);
  in.read(grad_out, out, grad_values);
  AlignGradientArgs args{in.align().args(), in.streams()};
  Pending pending = check_data(in.align(), streams, when, ctx);
  if (args.streams.empty()) return pending;
  if (args.call.targets == 0) args.call.batch = 0;  // nobody reads anything
  run_on(
      in.align().device(), kOp, [&]<Isa isa>() { cpu::align_gradient<isa>(args, ctx); },
      [&] { cuda::align_gradient(args, ctx); });
  return pending;
}

}  // namespace robocache
