#pragma once

#include "core/host_device.hpp"

namespace robocache {

/// condition ? a : b, written so that a backend can compute many at once: for vectors there is one of its own.
template <class C>
ROBOCACHE_HD C select(bool condition, const C& a, const C& b) {
  return condition ? a : b;
}

}  // namespace robocache
