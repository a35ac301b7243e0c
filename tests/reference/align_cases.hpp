#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "align_oracle.hpp"
#include "json.hpp"

/// Reads tests/cases/align.json; tests/cases/README.md describes the format and the generator.
namespace robocache::reference {

struct AlignCase {
  std::string name;
  DType time = DType::i64;
  std::int64_t batch = 0, targets = 0;
  std::vector<Instant> at;  ///< [B, T], or [T] where shared_at
  bool shared_at = false;
  std::vector<Instant> origin;  ///< [B] or empty
  std::optional<DType> dtype;   ///< of the output; else the stream's own
  bool split = false;
  std::vector<OracleStream> streams;
  std::vector<std::string> layouts;
  bool by_hand = false;  ///< an explicit case: the answer is written below
  std::string error;     ///< the type of the error that is expected, or empty
  std::vector<std::string> says;
  std::vector<std::vector<Real>> values;  ///< per stream [B, T, D]
  std::vector<bool> valid;                ///< [B, T, N]
  std::vector<std::int64_t> age_ns;       ///< [B, T, N]

  [[nodiscard]] DType out_dtype(std::size_t stream) const { return dtype.value_or(streams[stream].dtype); }

  /// Target (b, t) with its origin, [B, T].
  [[nodiscard]] std::vector<Instant> resolved() const {
    std::vector<Instant> all;
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t t = 0; t < targets; ++t) {
        const Instant& target = at[static_cast<std::size_t>(shared_at ? t : b * targets + t)];
        all.push_back(origin.empty()
                          ? target
                          : std::visit([&]<class T>(T o) -> Instant { return static_cast<T>(o + std::get<T>(target)); },
                                       origin[static_cast<std::size_t>(b)]));
      }
    }
    return all;
  }
};

namespace detail {

inline void flatten(const Json& json, std::vector<const Json*>& leaves) {
  if (!json.is_list()) return leaves.push_back(&json);
  for (const Json& item : json.list()) flatten(item, leaves);
}

inline std::vector<const Json*> leaves_of(const Json& json) {
  std::vector<const Json*> leaves;
  flatten(json, leaves);
  return leaves;
}

template <class T, class Read>
std::vector<T> list_of(const Json& json, Read&& read) {
  std::vector<T> list;
  for (const Json* leaf : leaves_of(json)) list.push_back(read(*leaf));
  return list;
}

inline std::vector<std::int64_t> integers(const Json& parent, const char* key) {
  if (!parent.has(key)) return {};
  return list_of<std::int64_t>(parent[key], [](const Json& x) { return x.integer(); });
}

inline Instant seconds(double s, DType time) {
  return time == DType::f64 ? Instant(s) : Instant(static_cast<float>(s));
}

inline std::vector<Instant> instants(const Json& json, DType time) {
  return list_of<Instant>(
      json, [&](const Json& x) { return time == DType::i64 ? Instant(x.integer()) : seconds(x.float64(), time); });
}

inline std::int64_t size_of_list(const Json& json) { return static_cast<std::int64_t>(json.list().size()); }

inline Outside outside_from(const Json& side) {
  using Policy = Outside::Policy;
  if (!side.is_text()) return {Policy::fill, side.float64()};
  if (side.text() == "hold") return {Policy::hold};
  if (side.text() == "nan") return {Policy::fill};
  if (side.text() == "extrapolate") return {Policy::extrapolate};
  if (side.text() == "error") return {Policy::error};
  throw std::runtime_error("no policy " + side.text());
}

inline Interp interp_from(const Json& mode) {
  if (!mode.is_text()) return Interp::automatic;  // null
  const std::pair<const char*, Interp> known[] = {
      {"hold", Interp::hold}, {"nearest", Interp::nearest}, {"linear", Interp::linear}, {"slerp", Interp::slerp},
      {"se3", Interp::se3},   {"screw", Interp::screw},     {"pchip", Interp::pchip},   {"angle", Interp::angle}};
  for (const auto& [text, interp] : known) {
    if (mode.text() == text) return interp;
  }
  throw std::runtime_error("no interp " + mode.text());
}

/// The options that explicit and generated streams share.
inline OracleStream options_of(const Json& spec) {
  OracleStream s;
  s.dtype = dtype_named(spec.text_or("dtype", "float32"));
  if (spec.has("interp") && spec["interp"].is_list()) {
    for (const Json& run : spec["interp"].list())
      s.runs.push_back({interp_from(run.list()[0]), run.list()[1].integer()});
  } else if (spec.has("interp")) {
    s.interp = interp_from(spec["interp"]);
  }
  const std::string missing = spec.text_or("missing", "propagate");
  s.missing = missing == "skip" ? Missing::skip : missing == "hold" ? Missing::hold : Missing::propagate;
  s.quaternion = spec.text_or("quaternion", "xyzw") == "wxyz" ? QuaternionOrder::wxyz : QuaternionOrder::xyzw;
  if (spec.has("outside")) {
    const Json& outside = spec["outside"];
    s.before = outside_from(outside.is_list() ? outside.list()[0] : outside);
    s.after = outside_from(outside.is_list() ? outside.list()[1] : outside);
  }
  s.max_gap_ns = spec.integer_or("max_gap_ns", kNoLimit);
  s.max_age_ns = spec.integer_or("max_age_ns", kNoLimit);
  s.offset_ns = spec.integer_or("offset_ns", 0);
  return s;
}

inline OracleStream explicit_stream(const Json& spec, DType time) {
  OracleStream s = options_of(spec);
  const Json& values = spec["values"];
  s.values = list_of<Real>(values, [&](const Json& x) { return rounded(x.real(), s.dtype); });
  s.stamps = instants(spec["stamps"], time);
  s.lengths = integers(spec, "lengths");
  s.offsets = integers(spec, "offsets");
  s.rows = integers(spec, "rows");
  if (spec.has("mask")) s.mask = list_of<bool>(spec["mask"], [](const Json& x) { return x.boolean(); });
  for (const auto& [key, list] : {std::pair{"scale", &s.scale}, std::pair{"bias", &s.bias}}) {
    if (spec.has(key)) *list = list_of<float>(spec[key], [](const Json& x) { return static_cast<float>(x.real()); });
  }
  const bool packed = !s.offsets.empty();
  s.shared = !packed && (spec["stamps"].list().empty() || !spec["stamps"].list()[0].is_list());
  s.segments = packed ? static_cast<std::int64_t>(s.offsets.size()) - 1 : size_of_list(values);
  const Json& samples = packed ? values : values.list().at(0);
  s.samples = size_of_list(samples);
  s.columns = s.samples > 0 ? size_of_list(samples.list()[0]) : 0;
  s.columns = spec.integer_or("columns", s.columns);
  return s;
}

inline AlignCase case_from(const Json& entry) {
  AlignCase c;
  c.name = entry["name"].text();
  c.time = dtype_named(entry.text_or("time", "int64"));
  if (entry.has("dtype")) c.dtype = dtype_named(entry["dtype"].text());
  c.split = entry.has("split") && entry["split"].boolean();
  return c;
}

inline AlignCase explicit_case(const Json& entry) {
  AlignCase c = case_from(entry);
  const Json& at = entry["at"];
  c.at = instants(at, c.time);
  c.shared_at = at.list().empty() || !at.list()[0].is_list();
  for (const Json& spec : entry["streams"].list()) c.streams.push_back(explicit_stream(spec, c.time));
  c.layouts.assign(c.streams.size(), "plain");
  if (entry.has("origin")) c.origin = instants(entry["origin"], c.time);
  const OracleStream& first = c.streams[0];
  c.batch = c.shared_at ? static_cast<std::int64_t>(first.rows.empty() ? static_cast<std::size_t>(first.segments)
                                                                       : first.rows.size())
                        : size_of_list(at);
  c.targets = c.shared_at ? size_of_list(at) : size_of_list(at.list().at(0));
  c.by_hand = true;
  const Json& expect = entry["expect"];
  if (expect.has("error")) {
    c.error = expect["error"].text();
    for (const Json& text : expect["says"].list()) c.says.push_back(text.text());
    return c;
  }
  for (const Json& values : expect["values"].list()) {
    c.values.push_back(list_of<Real>(values, [](const Json& x) { return x.real(); }));
  }
  c.valid = list_of<bool>(expect["valid"], [](const Json& x) { return x.boolean(); });
  c.age_ns = integers(expect, "age_ns");
  return c;
}

}  // namespace detail
}  // namespace robocache::reference
