#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "align_cases.hpp"

/// The generated cases of tests/cases/align.json; the generator is specified in tests/cases/README.md.
namespace robocache::reference {

namespace detail {

struct Draws {
  enum What : std::uint64_t { length, first, step, duplicate, value, target, choice, mask, nan };
  std::uint64_t base;

  Draws(std::int64_t seed, std::uint64_t stream)
      : base(static_cast<std::uint64_t>(seed) * 0x9E3779B97F4A7C15u + (stream << 56)) {}

  [[nodiscard]] std::uint64_t operator()(What what, std::int64_t k) const {
    std::uint64_t x = base + (static_cast<std::uint64_t>(what) << 48) + static_cast<std::uint64_t>(k);
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
  }
  /// A draw below n > 0.
  [[nodiscard]] std::int64_t below(What what, std::int64_t k, std::int64_t n) const {
    return static_cast<std::int64_t>((*this)(what, k) % static_cast<std::uint64_t>(n));
  }
};

inline Real drawn_value(std::uint64_t draw, DType dtype) {
  const int bits = dtype == DType::f64 ? 40 : dtype == DType::f32 ? 24 : dtype == DType::f16 ? 11 : 8;
  if (is_float(dtype)) {
    return static_cast<Real>(draw % (std::uint64_t{1} << bits)) * std::ldexp(Real{1}, -(bits - 3)) - 4;
  }
  if (dtype == DType::boolean) return static_cast<Real>(draw & 1);
  Real x = 0;
  with_type(dtype, [&]<class T>(T) { x = static_cast<Real>(static_cast<T>(draw)); });
  return x;
}

/// One generated stream, its stamps still in ns and its segments still padded to S samples.
struct Log {
  std::vector<std::int64_t> stamps;   ///< [G, S], or [S] where shared
  std::vector<std::int64_t> lengths;  ///< [G]
  OracleStream stream;

  Log(const Json& spec, const Draws& draws, std::int64_t batch, std::int64_t start, std::int64_t span)
      : stream(options_of(spec)) {
    OracleStream& s = stream;
    const std::int64_t S = s.samples = spec["samples"].integer();
    s.columns = spec["columns"].integer();
    s.segments = batch;
    s.shared = spec.text_or("clock", "own") == "shared";
    const std::string ragged = spec.text_or("ragged", "");
    const std::int64_t clocks = s.shared ? 1 : batch;
    const std::int64_t step = std::max<std::int64_t>(1, span / S);
    const std::uint64_t duplicates = static_cast<std::uint64_t>(spec.integer_or("duplicates", 0));
    for (std::int64_t g = 0; g < clocks; ++g) {
      lengths.push_back(ragged.empty() ? S : draws.below(Draws::length, g, S + 1));
      std::int64_t stamp = start + draws.below(Draws::first, g, step);
      for (std::int64_t k = g * S; k < (g + 1) * S; ++k) {
        if (k > g * S && draws(Draws::duplicate, k) % 256 >= duplicates) {
          stamp += step / 2 + draws.below(Draws::step, k, step);
        }
        const std::int64_t sample = k - g * S;
        if (spec.has("masked")) {
          s.mask.push_back(draws(Draws::mask, k) % 256 >= static_cast<std::uint64_t>(spec["masked"].integer()));
        }
        stamps.push_back(sample < lengths.back() ? stamp : start - 1 - sample);
      }
    }
    const auto nans = static_cast<std::uint64_t>(spec.integer_or("nans", 0));
    const bool repeated = spec.text_or("layout", "plain") == "repeated";
    for (std::int64_t g = 0; g < batch; ++g) {
      const std::int64_t length = lengths[static_cast<std::size_t>(s.shared ? 0 : g)];
      for (std::int64_t k = 0; k < S * s.columns; ++k) {
        const bool padding = k / s.columns >= length;
        const std::int64_t which = (repeated ? 0 : g * S * s.columns) + k;
        const bool nan = draws(Draws::nan, which) % 256 < nans;
        const Real drawn = nan ? kNan : drawn_value(draws(Draws::value, which), s.dtype);
        s.values.push_back(!padding ? drawn : is_float(s.dtype) ? std::numeric_limits<Real>::quiet_NaN() : Real{77});
      }
    }
    if (ragged == "lengths") s.lengths = lengths;
    for (std::int64_t ns : stamps) s.stamps.emplace_back(ns);
    if (ragged == "offsets") pack();
  }

 private:
  void pack() {
    std::vector<Real> values;
    std::vector<Instant> kept;
    std::vector<bool> kept_mask;
    stream.offsets.push_back(0);
    for (std::int64_t g = 0; g < stream.segments; ++g) {
      for (std::int64_t k = g * stream.samples; k < g * stream.samples + lengths[static_cast<std::size_t>(g)]; ++k) {
        kept.push_back(stream.stamps[static_cast<std::size_t>(k)]);
        if (!stream.mask.empty()) kept_mask.push_back(stream.mask[static_cast<std::size_t>(k)]);
        const auto row = stream.values.begin() + k * stream.columns;
        values.insert(values.end(), row, row + stream.columns);
      }
      stream.offsets.push_back(static_cast<std::int64_t>(kept.size()));
    }
    stream.samples = static_cast<std::int64_t>(kept.size());
    stream.values = std::move(values);
    stream.stamps = std::move(kept);
    stream.mask = std::move(kept_mask);
  }
};

inline void to_time(std::vector<Instant>& instants, DType time) {
  if (time == DType::i64) return;
  for (Instant& t : instants) t = seconds(static_cast<double>(std::get<std::int64_t>(t)) / 1e9, time);
}

inline std::vector<std::int64_t> drawn_targets(const Json& entry, const std::vector<Log>& logs, const AlignCase& c,
                                               std::int64_t start, std::int64_t span) {
  const Draws draws(entry["seed"].integer(), 255);
  std::vector<std::int64_t> at;
  for (std::int64_t k = 0; k < c.batch * c.targets; ++k) {
    const std::uint64_t choice = draws(Draws::choice, k);
    if (choice % 8 < 5) {
      at.push_back(start - span / 8 + draws.below(Draws::target, k, span + span / 4));
      continue;
    }
    const Log& log = logs[(choice >> 8) % logs.size()];
    const std::size_t segment = log.lengths.size() > 1 ? static_cast<std::size_t>(k / c.targets) : 0;
    const auto n = static_cast<std::uint64_t>(log.lengths[segment]);
    const std::size_t S = log.stamps.size() / log.lengths.size();
    at.push_back(n > 0 ? log.stamps[segment * S + (choice >> 16) % n] : start);
  }
  if (entry.text_or("order", "sorted") == "sorted") {
    for (std::int64_t b = 0; b < c.batch; ++b) {
      std::sort(at.begin() + b * c.targets, at.begin() + (b + 1) * c.targets);
    }
  }
  return at;
}

inline AlignCase generated_case(const Json& entry, std::int64_t batch) {
  AlignCase c = case_from(entry);
  c.batch = batch;
  c.targets = entry["targets"].integer();
  const std::int64_t start = entry.integer_or("start_ns", 1'700'000'000'000'000'000);
  const std::int64_t span = entry.integer_or("span_ns", 1'000'000'000);
  std::vector<Log> logs;
  for (const Json& spec : entry["streams"].list()) {
    const Draws draws(entry["seed"].integer(), logs.size());
    logs.emplace_back(spec, draws, batch, start, span);
    c.layouts.push_back(spec.text_or("layout", "plain"));
  }
  for (std::int64_t ns : drawn_targets(entry, logs, c, start, span)) c.at.emplace_back(ns);
  to_time(c.at, c.time);
  for (Log& log : logs) {
    to_time(log.stream.stamps, c.time);
    c.streams.push_back(std::move(log.stream));
  }
  return c;
}

}  // namespace detail

/// The cases of the table, explicit ones first. Each is made when it is asked for.
class AlignTable {
 public:
  explicit AlignTable(const std::string& path) : json_(Json::read_file(path)) {}

  [[nodiscard]] std::size_t size() const { return written().size() + generated().size(); }
  [[nodiscard]] const std::string& name(std::size_t i) const { return entry(i)["name"].text(); }
  [[nodiscard]] bool expects_error(std::size_t i) const {
    return entry(i).has("expect") && entry(i)["expect"].has("error");
  }
  [[nodiscard]] AlignCase operator[](std::size_t i) const {
    if (i < written().size()) return detail::explicit_case(entry(i));
    return detail::generated_case(entry(i), entry(i)["batch"].integer());
  }

  /// The generated case `name` with another batch size: the inputs of a benchmark.
  [[nodiscard]] AlignCase generate(const std::string& name, std::int64_t batch) const {
    for (const Json& entry : generated()) {
      if (entry["name"].text() == name) return detail::generated_case(entry, batch);
    }
    throw std::runtime_error("no generated case " + name);
  }

 private:
  [[nodiscard]] const Json::List& written() const { return json_["explicit"].list(); }
  [[nodiscard]] const Json::List& generated() const { return json_["generated"].list(); }
  [[nodiscard]] const Json& entry(std::size_t i) const {
    return i < written().size() ? written()[i] : generated().at(i - written().size());
  }

  Json json_;
};

}  // namespace robocache::reference
