#include "core/isa.hpp"

#include <cstdlib>
#include <string>

#include "robocache/error.hpp"

namespace robocache {

namespace {

Isa processor_isa() {
#if ROBOCACHE_ISA_LEVELS == 3
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa choose_isa() {
  const Isa best = processor_isa();
  const char* const wanted = std::getenv("ROBOCACHE_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (name(isa) == wanted) return isa < best ? isa : best;
  }
  throw InvalidArgument("environment: ROBOCACHE_ISA is '" + std::string(wanted) +
                        "', expected baseline, avx2 or avx512");
}

}  // namespace

Isa active_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

std::string_view name(Isa isa) noexcept {
  constexpr std::string_view names[] = {"baseline", "avx2", "avx512"};
  return names[static_cast<std::size_t>(isa)];
}

}  // namespace robocache
