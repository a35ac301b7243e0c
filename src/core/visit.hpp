#pragma once

#include <stdexcept>

namespace robocache {

/// A list of enum values, declared once and read by the checks, the dispatch and the tests.
template <auto... Vs>
struct Values {};

/// Calls f.operator()<V>() for the V of the list that equals `value`.
template <auto... Vs, class F>
void visit(auto value, Values<Vs...>, F&& f) {
  if (!((value == Vs && (f.template operator()<Vs>(), true)) || ...)) throw std::logic_error("visit: unchecked value");
}

template <auto... Vs>
constexpr bool contains(Values<Vs...>, auto value) {
  return ((value == Vs) || ...);
}

}  // namespace robocache
