#pragma once

namespace robocache::cuda {

/// Every entry to CUDA calls this first. Throws CudaError in a process forked after such a call: CUDA does not survive a
/// fork, and says so only in words that nobody understands.
void enter();

/// Whether this process was forked after CUDA had been used.
[[nodiscard]] bool forked() noexcept;

inline constexpr const char* kForkedText =
    "CUDA was initialised before this process was forked; use the 'spawn' start method, or the CPU";

}  // namespace robocache::cuda
