#pragma once

namespace robocache::build {

/// Whether this build has the CUDA backend. Front doors branch on it with `if constexpr`: no stub, no #ifdef.
inline constexpr bool cuda = ROBOCACHE_CUDA;

}  // namespace robocache::build
