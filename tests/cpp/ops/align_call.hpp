#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "align_arrays.hpp"
#include "robocache/align.hpp"

namespace robocache::reference {

/// How a case is laid out in memory. Answers never depend on it.
struct Form {
  bool split = false;    ///< one output per stream
  bool pitched = false;  ///< outputs with gaps between rows, marks stored stream-major
  DType index = DType::i64;
};

/// One call of align for a case: inputs on the device, outputs blank.
class CaseCall {
 public:
  CaseCall(const AlignCase& c, Device device, const Form& form) : case_(c), arrays_(device), form_(form) {
    for (std::size_t i = 0; i < c.streams.size(); ++i) {
      streams_.push_back(upload(c.streams[i], c.layouts[i]));
      columns_ += c.streams[i].columns;
    }
    const Layout at = c.shared_at ? Layout{{c.targets}, {1}, 0, c.targets}
                                  : Layout{{c.batch, c.targets}, {c.targets, 1}, 0, c.batch * c.targets};
    at_ = arrays_.times(at, c.time, c.at);
    if (!c.origin.empty()) origin_ = arrays_.times({{c.batch}, {1}, 0, c.batch}, c.time, c.origin);
    make_outputs();
  }

  void run(const Context& ctx = {}, DataCheck check = DataCheck::automatic) {
    Pending pending = align(streams_, {at_, origin_}, out_, valid_, age_, check, ctx);
    if (check != DataCheck::off) pending.check();
  }

  [[nodiscard]] const std::vector<Stream>& streams() const { return streams_; }
  [[nodiscard]] Targets targets() const { return {at_, origin_}; }

  [[nodiscard]] Expected read(std::size_t stream) const {
    Expected got;
    std::size_t which = form_.split ? stream : 0;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < stream && !form_.split; ++i) first += case_.streams[i].columns;
    const std::vector<std::byte> bytes = out_blocks_[which]->get();
    const std::vector<std::byte> valid = marks_[0]->get();
    const std::vector<std::byte> age = marks_[1]->get();
    const DType dtype = case_.out_dtype(stream);
    for (std::int64_t row = 0; row < case_.batch * case_.targets; ++row) {
      for (std::int64_t d = 0; d < case_.streams[stream].columns; ++d) {
        const std::int64_t at = out_layouts_[which].offset(row * out_layouts_[which].sizes[2] + first + d);
        got.values.push_back(load(bytes.data() + at * static_cast<std::int64_t>(size_of(dtype)), dtype));
      }
      const auto mark = marks_layout_.offset(row * marks_layout_.sizes[2] + static_cast<std::int64_t>(stream));
      got.valid.push_back(valid[static_cast<std::size_t>(mark)] == std::byte{1});
      got.age_ns.push_back(static_cast<std::int64_t>(load(age.data() + mark * 8, DType::i64)));
    }
    return got;
  }

  /// All bytes of the outputs.
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    for (const std::vector<const Block*>* blocks : {&out_blocks_, &marks_}) {
      for (const Block* block : *blocks) {
        const std::vector<std::byte> content = block->get();
        all.insert(all.end(), content.begin(), content.end());
      }
    }
    return all;
  }

  void expect_gaps_untouched() const {
    for (std::size_t i = 0; i < out_blocks_.size(); ++i) {
      std::vector<std::byte> content = out_blocks_[i]->get();
      const std::size_t size = size_of(out_[i].dtype);
      for (std::int64_t k = 0; k < out_layouts_[i].count(); ++k) {
        const auto at = static_cast<std::size_t>(out_layouts_[i].offset(k)) * size;
        std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(at), size, Block::kUntouched);
      }
      EXPECT_EQ(content, std::vector<std::byte>(content.size(), Block::kUntouched)) << "output " << i;
    }
  }

 private:
  Stream upload(const OracleStream& s, const std::string& layout) {
    const bool packed = !s.offsets.empty();
    Stream stream;
    stream.values = arrays_.make(rows_layout(layout, packed, packed ? 1 : s.segments, s.samples, s.columns), s.dtype,
                                 [&](std::size_t i) { return s.values[i]; });
    const std::int64_t clocks = s.shared || packed ? 1 : s.segments;
    Layout stamps =
        rows_layout(layout == "pitched" || layout == "reversed" ? layout : "plain", false, clocks, s.samples, 1);
    stamps.sizes.pop_back();
    stamps.strides.pop_back();
    if (s.shared || packed) {
      stamps.sizes.erase(stamps.sizes.begin());
      stamps.strides.erase(stamps.strides.begin());
    }
    stream.stamps = arrays_.times(stamps, case_.time, s.stamps);
    stream.interp = s.interp;
    stream.before = s.before;
    stream.after = s.after;
    stream.max_gap_ns = s.max_gap_ns;
    stream.max_age_ns = s.max_age_ns;
    stream.offset_ns = s.offset_ns;
    stream.runs = s.runs;
    stream.missing = s.missing;
    stream.quaternion = s.quaternion;
    if (!s.mask.empty())
      stream.mask = arrays_.make(stamps, DType::boolean, [&](std::size_t i) { return Real(s.mask[i]); });
    if (!s.lengths.empty()) stream.lengths = arrays_.list(s.lengths, form_.index);
    if (!s.offsets.empty()) stream.offsets = arrays_.list(s.offsets, form_.index);
    if (!s.rows.empty()) stream.rows = arrays_.list(s.rows, form_.index);
    if (!s.scale.empty()) stream.scale = arrays_.list(s.scale, DType::f32);
    if (!s.bias.empty()) stream.bias = arrays_.list(s.bias, DType::f32);
    return stream;
  }

  void make_outputs() {
    const std::int64_t B = case_.batch, T = case_.targets;
    const auto N = static_cast<std::int64_t>(case_.streams.size());
    for (std::size_t i = 0; i < (form_.split ? case_.streams.size() : 1); ++i) {
      const std::int64_t D = form_.split ? case_.streams[i].columns : columns_;
      const std::int64_t pitch = form_.pitched ? D + 1 + static_cast<std::int64_t>(i) % 3 : D;
      const std::int64_t lead = form_.pitched ? 3 : 0;
      out_layouts_.push_back({{B, T, D}, {T * pitch + lead, pitch, 1}, lead, B * (T * pitch + lead) + lead});
      out_.push_back(arrays_.blank(out_layouts_.back(), case_.out_dtype(i)));
      out_blocks_.push_back(&arrays_.last());
    }
    marks_layout_ = {{B, T, N}, {T * N, N, 1}, 0, B * T * N};
    if (form_.pitched) marks_layout_.strides = {T, 1, B * T};
    valid_ = arrays_.blank(marks_layout_, DType::boolean);
    marks_.push_back(&arrays_.last());
    age_ = arrays_.blank(marks_layout_, DType::i64);
    marks_.push_back(&arrays_.last());
  }

  const AlignCase& case_;
  Arrays arrays_;
  Form form_;
  std::vector<Stream> streams_;
  std::int64_t columns_ = 0;
  ConstTensor at_, origin_;
  std::vector<Tensor> out_;
  Tensor valid_, age_;
  std::vector<Layout> out_layouts_;
  Layout marks_layout_;
  std::vector<const Block*> out_blocks_, marks_;
};

}  // namespace robocache::reference
