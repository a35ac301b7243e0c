#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace robocache {

/// A callable (begin, end) that is not owned and does not allocate.
class RangeFunction {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, RangeFunction>)
  RangeFunction(F&& f) noexcept  // NOLINT(google-explicit-constructor): parallel_for(..., lambda)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, std::int64_t begin, std::int64_t end) {
          (*static_cast<std::remove_reference_t<F>*>(object))(begin, end);
        }) {}

  void operator()(std::int64_t begin, std::int64_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t, std::int64_t);
};

/// Runs `body` over [0, n) in ranges of about `grain` items, on at most `threads` threads (0: one per processor), the
/// caller's among them. Returns when all is done. The first exception of a body reaches the caller; ranges not begun by
/// then are skipped. Safe from many threads at once and inside a body; works in a process forked after first use (the
/// child makes a pool of its own), but not when the fork happens inside a body.
void parallel_for(std::int64_t n, std::int64_t grain, int threads, RangeFunction body);

/// Processors this process may run on (the affinity mask counts).
[[nodiscard]] int processor_count() noexcept;

}  // namespace robocache
