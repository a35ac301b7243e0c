#include "stream.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "align_doc.hpp"
#include "array.hpp"
#include "robocache/error.hpp"

namespace robocache::python {

namespace {

template <class E>
using Names = std::span<const std::pair<std::string_view, E>>;

constexpr std::pair<std::string_view, Interp> kInterps[] = {
    {"hold", Interp::hold}, {"nearest", Interp::nearest}, {"linear", Interp::linear}, {"slerp", Interp::slerp},
    {"se3", Interp::se3},   {"screw", Interp::screw},     {"pchip", Interp::pchip},   {"angle", Interp::angle}};
constexpr std::pair<std::string_view, Missing> kMissing[] = {
    {"propagate", Missing::propagate}, {"skip", Missing::skip}, {"hold", Missing::hold}};
constexpr std::pair<std::string_view, QuaternionOrder> kOrders[] = {{"xyzw", QuaternionOrder::xyzw},
                                                                    {"wxyz", QuaternionOrder::wxyz}};

template <class E>
E to_enum(Names<E> names, const char* member, std::string_view text, const char* also = "") {
  std::string list;
  for (const auto& [known, value] : names) {
    if (text == known) return value;
    list.append(list.empty() ? "'" : ", '").append(known).append("'");
  }
  throw InvalidArgument(std::string("Stream: ") + member + " is '" + std::string(text) + "', expected " + list + also);
}

template <class E>
nb::object name_of(Names<E> names, E wanted) {
  for (const auto& [known, value] : names) {
    if (wanted == value) return nb::str(known.data(), known.size());
  }
  return nb::none();
}

constexpr const char* kAlsoInterp = ", None, or a list of (mode, columns)";

Interp to_interp(nb::handle interp) {
  if (interp.is_none()) return Interp::automatic;
  return to_enum<Interp>(kInterps, "interp", nb::cast<std::string_view>(nb::str(interp)), kAlsoInterp);
}

ColumnRun to_run(nb::handle item) {
  const bool pair = nb::isinstance<nb::tuple>(item) || nb::isinstance<nb::list>(item);
  std::int64_t columns = 0;
  if (!pair || nb::len(item) != 2 || !nb::try_cast(item[1], columns)) {
    throw InvalidArgument("Stream: interp has " + nb::cast<std::string>(nb::repr(item)) +
                          " in its list, expected (mode, columns) as in ('linear', 6)");
  }
  return {to_interp(nb::object(item[0])), columns};
}

nb::object interp_of(Interp interp, const std::vector<ColumnRun>& runs) {
  if (runs.empty()) return name_of<Interp>(kInterps, interp);
  nb::list list;
  for (const ColumnRun& run : runs) list.append(nb::make_tuple(name_of<Interp>(kInterps, run.interp), run.columns));
  return list;
}

nb::object limit_or_none(std::int64_t limit_ns) {
  return limit_ns == kNoLimit ? nb::object(nb::none()) : nb::object(nb::int_(limit_ns));
}

Outside to_outside(nb::handle side) {
  if (!nb::isinstance<nb::str>(side) && nb::hasattr(side, "__float__")) {
    return {Outside::Policy::fill, nb::cast<double>(nb::float_(side))};
  }
  const auto text = nb::cast<std::string>(nb::str(side));
  if (text == "hold") return {Outside::Policy::hold};
  if (text == "nan") return {Outside::Policy::fill, std::numeric_limits<double>::quiet_NaN()};
  if (text == "extrapolate") return {Outside::Policy::extrapolate};
  if (text == "error") return {Outside::Policy::error};
  throw InvalidArgument(
      "Stream: outside is '" + text +
      "', expected 'hold', 'nan', 'extrapolate', 'error', a number, or a pair (before, after) of these");
}

}  // namespace

PyStream::PyStream(nb::object values_, nb::object stamps_, const nb::object& interp, nb::object outside_,
                   std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns,
                   std::int64_t offset_ns, nb::object lengths_, nb::object offsets_, nb::object mask_,
                   std::string_view missing, std::string_view quaternion, const nb::object& name_)
    : values(std::move(values_)),
      stamps(std::move(stamps_)),
      lengths(std::move(lengths_)),
      offsets(std::move(offsets_)),
      mask(std::move(mask_)),
      outside(std::move(outside_)) {
  if (!name_.is_none()) name = nb::cast<std::string>(nb::str(name_));
  set_interp(interp);
  if (nb::isinstance<nb::tuple>(outside) || nb::isinstance<nb::list>(outside)) {
    if (nb::len(outside) != 2) {
      throw InvalidArgument("Stream: outside has " + std::to_string(nb::len(outside)) +
                            " items, expected (before, after)");
    }
    options_.before = to_outside(nb::object(outside[0]));
    options_.after = to_outside(nb::object(outside[1]));
  } else {
    options_.before = options_.after = to_outside(outside);
  }
  options_.max_gap_ns = max_gap_ns.value_or(kNoLimit);
  options_.max_age_ns = max_age_ns.value_or(kNoLimit);
  if (options_.max_gap_ns < 0 || options_.max_age_ns < 0) {
    throw InvalidArgument("Stream: " + std::string(options_.max_gap_ns < 0 ? "max_gap_ns" : "max_age_ns") + " is " +
                          std::to_string(std::min(options_.max_gap_ns, options_.max_age_ns)) +
                          ", expected >= 0 or None");
  }
  options_.offset_ns = offset_ns;
  options_.missing = to_enum<Missing>(kMissing, "missing", missing);
  options_.quaternion = to_enum<QuaternionOrder>(kOrders, "quaternion", quaternion);
}

void PyStream::set_interp(const nb::object& interp) {
  runs.clear();
  options_.interp = Interp::automatic;
  if (!nb::isinstance<nb::list>(interp) && !nb::isinstance<nb::tuple>(interp)) {
    options_.interp = to_interp(interp);
    return;
  }
  for (nb::handle item : interp) runs.push_back(to_run(item));
  if (runs.empty()) throw InvalidArgument("Stream: interp is an empty list, expected (mode, columns) in it");
}

Stream PyStream::options() const {
  Stream stream = options_;
  stream.runs = runs;
  stream.name = name;
  return stream;
}

std::vector<nb::object> stream_list(std::string_view op, const nb::object& streams) {
  std::vector<nb::object> list;
  if (nb::isinstance<PyStream>(streams)) {
    list.push_back(streams);
  } else if (nb::isinstance<nb::sequence>(streams)) {
    for (nb::handle item : nb::borrow<nb::sequence>(streams)) list.push_back(nb::borrow(item));
  } else {
    throw InvalidArgument(std::string(op) + ": streams is " + class_name(streams) +
                          ", expected a list of robocache.Stream");
  }
  if (list.empty())
    throw InvalidArgument(std::string(op) + ": streams is empty, expected at least one robocache.Stream");
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (nb::isinstance<PyStream>(list[i])) continue;
    throw InvalidArgument(std::string(op) + ": streams[" + std::to_string(i) + "] is " + class_name(list[i]) +
                          ", expected robocache.Stream");
  }
  return list;
}

void bind_stream(nb::module_& m) {
  nb::class_<PyStream>(m, "Stream", kStreamDoc)
      .def(nb::init<nb::object, nb::object, const nb::object&, nb::object, std::optional<std::int64_t>,
                    std::optional<std::int64_t>, std::int64_t, nb::object, nb::object, nb::object, std::string_view,
                    std::string_view, const nb::object&>(),
           nb::arg("values").none(), nb::arg("stamps").none(), nb::kw_only(), nb::arg("interp") = nb::none(),
           nb::arg("outside") = "hold", nb::arg("max_gap_ns") = nb::none(), nb::arg("max_age_ns") = nb::none(),
           nb::arg("offset_ns") = 0, nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(),
           nb::arg("mask") = nb::none(), nb::arg("missing") = "propagate", nb::arg("quaternion") = "xyzw",
           nb::arg("name") = nb::none(), nb::sig(kStreamSignature))
      .def_ro("values", &PyStream::values, nb::for_getter(nb::sig("def values(self) -> typing.Any")))
      .def_ro("stamps", &PyStream::stamps, nb::for_getter(nb::sig("def stamps(self) -> typing.Any")))
      .def_ro("lengths", &PyStream::lengths, nb::for_getter(nb::sig("def lengths(self) -> typing.Any")))
      .def_ro("offsets", &PyStream::offsets, nb::for_getter(nb::sig("def offsets(self) -> typing.Any")))
      .def_ro("mask", &PyStream::mask, nb::for_getter(nb::sig("def mask(self) -> typing.Any")))
      .def_ro("outside", &PyStream::outside, nb::for_getter(nb::sig("def outside(self) -> typing.Any")))
      .def_prop_ro(
          "interp", [](const PyStream& s) { return interp_of(s.options_.interp, s.runs); },
          nb::for_getter(nb::sig("def interp(self) -> str | list[tuple[str | None, int]] | None")))
      .def_prop_ro(
          "missing", [](const PyStream& s) { return name_of<Missing>(kMissing, s.options_.missing); },
          nb::for_getter(nb::sig("def missing(self) -> str")))
      .def_prop_ro(
          "quaternion", [](const PyStream& s) { return name_of<QuaternionOrder>(kOrders, s.options_.quaternion); },
          nb::for_getter(nb::sig("def quaternion(self) -> str")))
      .def_prop_ro("offset_ns", [](const PyStream& s) { return s.options_.offset_ns; })
      .def_prop_ro(
          "max_gap_ns", [](const PyStream& s) { return limit_or_none(s.options_.max_gap_ns); },
          nb::for_getter(nb::sig("def max_gap_ns(self) -> int | None")))
      .def_prop_ro(
          "max_age_ns", [](const PyStream& s) { return limit_or_none(s.options_.max_age_ns); },
          nb::for_getter(nb::sig("def max_age_ns(self) -> int | None")))
      .def_prop_ro(
          "name", [](const PyStream& s) { return s.name.empty() ? nb::object(nb::none()) : nb::str(s.name.c_str()); },
          nb::for_getter(nb::sig("def name(self) -> str | None")))
      .def("__repr__", [](const PyStream& s) {
        return "Stream(" + (s.name.empty() ? std::string() : "name='" + s.name + "', ") +
               "interp=" + nb::cast<std::string>(nb::repr(interp_of(s.options_.interp, s.runs))) + ")";
      });
}

}  // namespace robocache::python
