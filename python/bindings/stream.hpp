#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "robocache/align.hpp"

namespace robocache::python {

namespace nb = nanobind;

/// robocache.Stream: the arrays as given, the options parsed.
struct PyStream {
  static constexpr std::size_t kArrays = 5;

  /// `op` is what errors in the options name: the function that was given them.
  PyStream(std::string_view op, nb::object values, nb::object stamps, const nb::object& interp,
           const nb::object& outside, std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns,
           std::int64_t offset_ns, nb::object lengths, nb::object offsets, nb::object mask, std::string_view missing,
           std::string_view quaternion, const nb::object& name);

  /// Mode, or modes of runs, of another call on the same clock.
  void set_interp(std::string_view op, const nb::object& interp);
  /// The options, without tensors; valid while this object lives and is not changed.
  [[nodiscard]] Stream options() const;

  /// Every array, None where there is none.
  [[nodiscard]] std::array<nb::object*, kArrays> arrays() { return {&values, &stamps, &lengths, &offsets, &mask}; }

  nb::object values, stamps, lengths, offsets, mask;
  std::string name;
  std::vector<ColumnRun> runs;
  Interp interp = Interp::automatic;
  Outside before, after;
  std::int64_t max_gap_ns, max_age_ns, offset_ns;
  Missing missing = Missing::propagate;
  QuaternionOrder quaternion = QuaternionOrder::xyzw;
};

/// The streams that a call was given: a sequence of robocache.Stream, or one.
std::vector<nb::object> stream_list(std::string_view op, const nb::object& streams);

void bind_stream(nb::module_& m);

}  // namespace robocache::python
