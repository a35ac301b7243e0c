#pragma once

#include <cstdint>
#include <string_view>

#include "core/visit.hpp"

namespace robocache {

/// Instruction-set levels that src/kernels/cpu is compiled for. `baseline` is what the architecture guarantees.
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

#if ROBOCACHE_ISA_LEVELS == 3
using BuiltIsas = Values<Isa::baseline, Isa::avx2, Isa::avx512>;
#else
using BuiltIsas = Values<Isa::baseline>;
#endif

/// The best level that this build and this processor have; ROBOCACHE_ISA=baseline|avx2|avx512 in the environment lowers
/// it. Read once.
Isa active_isa();

std::string_view name(Isa isa) noexcept;

}  // namespace robocache
