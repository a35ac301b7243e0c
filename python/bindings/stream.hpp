#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "robocache/align.hpp"

namespace robocache::python {

namespace nb = nanobind;

/// robocache.Stream: the arrays as given, the options parsed.
struct PyStream {
  PyStream(nb::object values, nb::object stamps, const nb::object& interp, nb::object outside,
           std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns, std::int64_t offset_ns,
           nb::object lengths, nb::object offsets, nb::object mask, std::string_view missing,
           std::string_view quaternion, const nb::object& name);

  /// Mode, or modes of runs, of another call on the same clock.
  void set_interp(const nb::object& interp);
  /// The options without their tensors; valid while this object lives and is not changed.
  [[nodiscard]] Stream options() const;

  nb::object values, stamps, lengths, offsets, mask;
  nb::object outside;  ///< as given, for the attribute
  std::string name;
  std::vector<ColumnRun> runs;

 private:
  Stream options_;
  friend void bind_stream(nb::module_& m);
};

/// The streams that a call was given: a sequence of robocache.Stream, or one.
std::vector<nb::object> stream_list(std::string_view op, const nb::object& streams);

void bind_stream(nb::module_& m);

}  // namespace robocache::python
