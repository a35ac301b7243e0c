#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "kernels/align.hpp"

namespace robocache {

/// The classes of interpolations that place a target alike, as far as a stream has them: hold, nearest, and all the
/// curves. A plan keeps a plane of steps for each.
class TimeClasses {
 public:
  explicit TimeClasses(const Stream& stream);
  [[nodiscard]] std::size_t count() const { return static_cast<std::size_t>(has_[0] + has_[1] + has_[2]); }
  [[nodiscard]] bool has(Interp interp) const { return has_[number(interp)]; }
  /// The plane of one that the stream has.
  [[nodiscard]] std::size_t index(Interp interp) const {
    std::size_t k = 0;
    for (std::size_t i = 0; i < number(interp); ++i) k += has_[i] ? 1 : 0;
    return k;
  }

 private:
  static std::size_t number(Interp interp) { return interp == Interp::hold ? 0 : interp == Interp::nearest ? 1 : 2; }
  bool has_[3] = {};
};

/// The arguments of a call of align, or of an operator that shares its streams: checked one by one and put into
/// AlignArgs. A stream becomes an entry for each of its column runs. Dimensions are bound by first use: B, T and the
/// device by the targets or the first array that has them.
class AlignInputs {
 public:
  /// `op` names the public function in errors; `list` what errors call the streams, null where there is only one and
  /// its members are named alone. Both are literals.
  AlignInputs(const char* op, const char* list, DataCheck when) : check_(op), list_(list) {
    args_.check_data = when != DataCheck::off;
  }

  void read_targets(const Targets& targets);
  void read_streams(std::span<const Stream> streams);
  /// One stream of which only the stamps count: `steps` is written.
  void read_clock(const Stream& stream, const Tensor& steps);
  /// One stream of which only the values count: `steps` is read.
  void read_values(const Stream& stream, const ConstTensor& steps);

  void write_outputs(std::span<const Tensor> out);
  void write_marks(const Tensor& valid, const Tensor& age_ns);

  /// Complete after all that is read and written. Refers to this object.
  [[nodiscard]] const AlignArgs& args();
  [[nodiscard]] std::span<AlignStream> entries() { return entries_; }
  /// Entries of stream i.
  [[nodiscard]] std::span<AlignStream> runs_of(std::size_t i);
  [[nodiscard]] std::size_t streams() const { return first_entry_.size(); }
  [[nodiscard]] Device device() const { return device_; }
  [[nodiscard]] const Check& check() const { return check_; }
  [[nodiscard]] Subject subject(std::size_t i, const Stream& stream, const char* member) const {
    return {list_, i, stream.name, member};
  }
  /// What describe() calls stream i.
  [[nodiscard]] std::string prefix(std::size_t i, const Stream& stream) const;

 private:
  void read_stream(std::size_t i, const Stream& stream);
  void segments(std::size_t i, const Stream& stream, AlignStream& s);
  void values(std::size_t i, const Stream& stream, AlignStream& s);
  void stamps(std::size_t i, const Stream& stream, AlignStream& s);
  void mask(std::size_t i, const Stream& stream, AlignStream& s);
  void limits(std::size_t i, const Stream& stream, AlignStream& s) const;
  void add_runs(std::size_t i, const Stream& stream, const AlignStream& s);
  void add_run(std::size_t i, const Stream& stream, const AlignStream& s, Interp interp, std::int64_t first,
               std::int64_t columns);
  [[nodiscard]] Interp resolved(std::size_t i, const Stream& stream, Interp interp, std::int64_t columns) const;
  [[nodiscard]] IndexList index_list(const Subject& subject, const ConstTensor& list) const;
  [[nodiscard]] const float* column_factors(const Subject& subject, const ConstTensor& list, Dim& columns) const;
  void no_mask(const Stream& stream) const;
  std::int64_t bind_steps(const ConstTensor& steps, std::size_t classes, bool shared);
  void write_to(const Subject& subject, const Tensor& out, Dim* columns, std::int64_t first, AlignStream& s);

  Check check_;
  const char* list_;
  Dim batch_{"B"};
  Dim targets_{"T"};
  Dim segments_{"G"};  ///< of the stream at hand, like the next two
  Dim samples_{"S"};
  Dim columns_{"D"};
  DType time_ = DType::i64;
  Device device_{};
  AlignArgs args_;
  std::vector<AlignStream> entries_;
  std::vector<std::size_t> first_entry_;
};

/// Runs what `in` has read. `op` names the public function in errors: a literal.
Pending run_align(const char* op, AlignInputs& in, std::span<const Stream> streams, DataCheck when, const Context& ctx);

}  // namespace robocache
