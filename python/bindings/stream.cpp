#include "stream.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <cmath>
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
E to_enum(Names<E> names, std::string_view op, const char* member, std::string_view text, const char* also = "") {
  std::string list;
  for (const auto& [known, value] : names) {
    if (text == known) return value;
    list.append(list.empty() ? "'" : ", '").append(known).append("'");
  }
  throw InvalidArgument(std::string(op) + ": " + member + " is '" + std::string(text) + "', expected " + list + also);
}

template <class E>
nb::object name_of(Names<E> names, E wanted) {
  for (const auto& [known, value] : names) {
    if (wanted == value) return nb::str(known.data(), known.size());
  }
  return nb::none();
}

constexpr const char* kAlsoInterp = ", None, or a list of (mode, columns)";

Interp to_interp(std::string_view op, nb::handle interp) {
  if (interp.is_none()) return Interp::automatic;
  return to_enum<Interp>(kInterps, op, "interp", nb::cast<std::string_view>(nb::str(interp)), kAlsoInterp);
}

ColumnRun to_run(std::string_view op, nb::handle item) {
  const bool pair = nb::isinstance<nb::tuple>(item) || nb::isinstance<nb::list>(item);
  std::int64_t columns = 0;
  if (!pair || nb::len(item) != 2 || !nb::try_cast(item[1], columns)) {
    throw InvalidArgument(std::string(op) + ": interp has " + nb::cast<std::string>(nb::repr(item)) +
                          " in its list, expected (mode, columns) as in ('linear', 6)");
  }
  return {to_interp(op, nb::object(item[0])), columns};
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

Outside to_outside(std::string_view op, nb::handle side) {
  if (!nb::isinstance<nb::str>(side) && nb::hasattr(side, "__float__")) {
    return {Outside::Policy::fill, nb::cast<double>(nb::float_(side))};
  }
  const auto text = nb::cast<std::string>(nb::str(side));
  if (text == "hold") return {Outside::Policy::hold};
  if (text == "nan") return {Outside::Policy::fill, std::numeric_limits<double>::quiet_NaN()};
  if (text == "extrapolate") return {Outside::Policy::extrapolate};
  if (text == "error") return {Outside::Policy::error};
  throw InvalidArgument(
      std::string(op) + ": outside is '" + text +
      "', expected 'hold', 'nan', 'extrapolate', 'error', a number, or a pair (before, after) of these");
}

nb::object side_of(const Outside& side) {
  switch (side.policy) {
    case Outside::Policy::hold:
      return nb::str("hold");
    case Outside::Policy::extrapolate:
      return nb::str("extrapolate");
    case Outside::Policy::error:
      return nb::str("error");
    case Outside::Policy::fill:
      break;
  }
  return std::isnan(side.value) ? nb::object(nb::str("nan")) : nb::object(nb::float_(side.value));
}

nb::object outside_of(const PyStream& stream) {
  const nb::object before = side_of(stream.before);
  const nb::object after = side_of(stream.after);
  return before.equal(after) ? before : nb::make_tuple(before, after);
}

}  // namespace

PyStream::PyStream(std::string_view op, nb::object values_, nb::object stamps_, const nb::object& interp_,
                   const nb::object& outside, std::optional<std::int64_t> max_gap, std::optional<std::int64_t> max_age,
                   std::int64_t offset, nb::object lengths_, nb::object offsets_, nb::object mask_,
                   std::string_view missing_, std::string_view quaternion_, const nb::object& name_)
    : values(std::move(values_)),
      stamps(std::move(stamps_)),
      lengths(std::move(lengths_)),
      offsets(std::move(offsets_)),
      mask(std::move(mask_)),
      max_gap_ns(max_gap.value_or(kNoLimit)),
      max_age_ns(max_age.value_or(kNoLimit)),
      offset_ns(offset) {
  if (!name_.is_none()) name = nb::cast<std::string>(nb::str(name_));
  set_interp(op, interp_);
  if (nb::isinstance<nb::tuple>(outside) || nb::isinstance<nb::list>(outside)) {
    if (nb::len(outside) != 2) {
      throw InvalidArgument(std::string(op) + ": outside has " + std::to_string(nb::len(outside)) +
                            " items, expected (before, after)");
    }
    before = to_outside(op, nb::object(outside[0]));
    after = to_outside(op, nb::object(outside[1]));
  } else {
    before = after = to_outside(op, outside);
  }
  if (max_gap_ns < 0 || max_age_ns < 0) {
    throw InvalidArgument(std::string(op) + ": " + (max_gap_ns < 0 ? "max_gap_ns" : "max_age_ns") + " is " +
                          std::to_string(std::min(max_gap_ns, max_age_ns)) + ", expected >= 0 or None");
  }
  missing = to_enum<Missing>(kMissing, op, "missing", missing_);
  quaternion = to_enum<QuaternionOrder>(kOrders, op, "quaternion", quaternion_);
}

void PyStream::set_interp(std::string_view op, const nb::object& given) {
  runs.clear();
  interp = Interp::automatic;
  if (!nb::isinstance<nb::list>(given) && !nb::isinstance<nb::tuple>(given)) {
    interp = to_interp(op, given);
    return;
  }
  for (nb::handle item : given) runs.push_back(to_run(op, item));
  if (runs.empty())
    throw InvalidArgument(std::string(op) + ": interp is an empty list, expected (mode, columns) in it");
}

Stream PyStream::options() const {
  Stream stream;
  stream.interp = interp;
  stream.before = before;
  stream.after = after;
  stream.max_gap_ns = max_gap_ns;
  stream.max_age_ns = max_age_ns;
  stream.offset_ns = offset_ns;
  stream.missing = missing;
  stream.runs = runs;
  stream.quaternion = quaternion;
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

namespace {

/// The streams without their arrays, and those, as PyStream::arrays() has them.
nb::tuple take_apart(const nb::object& streams) {
  nb::list options;
  nb::list arrays;
  for (const nb::object& given : stream_list("take_apart", streams)) {
    PyStream bare = *nb::inst_ptr<PyStream>(given);
    for (nb::object* array : bare.arrays()) {
      arrays.append(*array);
      *array = nb::none();
    }
    options.append(nb::cast(std::move(bare)));
  }
  return nb::make_tuple(options, arrays);
}

bool made_of(const nb::object& streams, const nb::frozenset& types) {
  const auto fits = [&](const nb::object* array) { return array->is_none() || types.contains(array->type()); };
  for (const nb::object& given : stream_list("align", streams)) {
    if (!std::ranges::all_of(nb::inst_ptr<PyStream>(given)->arrays(), fits)) return false;
  }
  return true;
}

nb::list put_together(const nb::object& options, const nb::list& arrays) {
  const std::vector<nb::object> bare = stream_list("put_together", options);
  if (arrays.size() != PyStream::kArrays * bare.size()) {
    throw InvalidArgument("put_together: arrays is a list of " + std::to_string(arrays.size()) + ", expected " +
                          std::to_string(PyStream::kArrays * bare.size()));
  }
  nb::list streams;
  std::size_t next = 0;
  for (const nb::object& each : bare) {
    PyStream stream = *nb::inst_ptr<PyStream>(each);
    for (nb::object* array : stream.arrays()) *array = arrays[next++];
    streams.append(nb::cast(std::move(stream)));
  }
  return streams;
}

}  // namespace

void bind_stream(nb::module_& m) {
  nb::class_<PyStream>(m, "Stream", kStreamDoc)
      .def(
          "__init__",
          [](PyStream* self, nb::object values, nb::object stamps, const nb::object& interp, const nb::object& outside,
             std::optional<std::int64_t> max_gap_ns, std::optional<std::int64_t> max_age_ns, std::int64_t offset_ns,
             nb::object lengths, nb::object offsets, nb::object mask, std::string_view missing,
             std::string_view quaternion, const nb::object& name) {
            new (self)
                PyStream("Stream", std::move(values), std::move(stamps), interp, outside, max_gap_ns, max_age_ns,
                         offset_ns, std::move(lengths), std::move(offsets), std::move(mask), missing, quaternion, name);
          },
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
      .def_prop_ro(
          "outside", [](const PyStream& s) { return outside_of(s); },
          nb::for_getter(nb::sig("def outside(self) -> str | float | tuple[str | float, str | float]")))
      .def_prop_ro(
          "interp", [](const PyStream& s) { return interp_of(s.interp, s.runs); },
          nb::for_getter(nb::sig("def interp(self) -> str | list[tuple[str | None, int]] | None")))
      .def_prop_ro(
          "missing", [](const PyStream& s) { return name_of<Missing>(kMissing, s.missing); },
          nb::for_getter(nb::sig("def missing(self) -> str")))
      .def_prop_ro(
          "quaternion", [](const PyStream& s) { return name_of<QuaternionOrder>(kOrders, s.quaternion); },
          nb::for_getter(nb::sig("def quaternion(self) -> str")))
      .def_prop_ro("offset_ns", [](const PyStream& s) { return s.offset_ns; })
      .def_prop_ro(
          "max_gap_ns", [](const PyStream& s) { return limit_or_none(s.max_gap_ns); },
          nb::for_getter(nb::sig("def max_gap_ns(self) -> int | None")))
      .def_prop_ro(
          "max_age_ns", [](const PyStream& s) { return limit_or_none(s.max_age_ns); },
          nb::for_getter(nb::sig("def max_age_ns(self) -> int | None")))
      .def_prop_ro(
          "name", [](const PyStream& s) { return s.name.empty() ? nb::object(nb::none()) : nb::str(s.name.c_str()); },
          nb::for_getter(nb::sig("def name(self) -> str | None")))
      .def(
          "__reduce__",
          [](nb::handle self) {
            nb::dict options;
            for (const char* name : {"interp", "outside", "max_gap_ns", "max_age_ns", "offset_ns", "lengths", "offsets",
                                     "mask", "missing", "quaternion", "name"}) {
              options[name] = self.attr(name);
            }
            const nb::object make = nb::module_::import_("functools").attr("partial")(self.type(), **options);
            const nb::object state = nb::getattr(self, "__dict__", nb::none());  // of a subclass
            return nb::make_tuple(make, nb::make_tuple(self.attr("values"), self.attr("stamps")), state);
          },
          nb::sig("def __reduce__(self) -> tuple[typing.Any, ...]"))
      .def("__repr__", [](const PyStream& s) {
        return "Stream(" + (s.name.empty() ? std::string() : "name='" + s.name + "', ") +
               "interp=" + nb::cast<std::string>(nb::repr(interp_of(s.interp, s.runs))) + ")";
      });
  m.def("made_of", &made_of, nb::arg("streams"), nb::arg("types"),
        nb::sig("def made_of(streams: collections.abc.Sequence[Stream], types: frozenset[type]) -> bool"),
        "Whether every array of the streams of a call of align is of one of the types.");
  m.def("take_apart", &take_apart, nb::arg("streams"),
        nb::sig("def take_apart(streams: collections.abc.Sequence[Stream]) -> tuple[list[Stream], list[typing.Any]]"),
        "Streams without arrays, and the arrays: values, stamps, lengths, offsets and mask of each, None where it has "
        "none.");
  m.def("put_together", &put_together, nb::arg("options"), nb::arg("arrays"),
        nb::sig("def put_together(options: collections.abc.Sequence[Stream], "
                "arrays: list[typing.Any]) -> list[Stream]"),
        "Streams with the options of some and the arrays of others, in the order of take_apart().");
}

}  // namespace robocache::python
