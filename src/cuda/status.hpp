#pragma once

#include <cstdint>
#include <string>

#include "core/fault.hpp"
#include "robocache/data_check.hpp"

// What CUDA kernels found wrong with their data: one word a call in pinned, mapped memory, read without a sync.
namespace robocache::cuda {

/// Takes a report of the device for a call on `stream` and clears it. The ring has 4096: a call must be over before that
/// many later ones have begun. A call that is being captured into a graph gets one that is never given to another.
/// `op` is kept: a string literal. `subjects` says what to call each stream (see describe), one a line.
FaultSink open_sink(int device, void* stream, const char* op, std::string subjects);

/// The Pending of a call that was launched with `sink` on `stream`.
Pending pending(int device, void* stream, const FaultSink& sink);

/// Throws InvalidArgument when an earlier call on the device has reported a fault that nobody has been told of. Reads
/// one word of host memory; does not wait.
void raise_earlier(int device);

}  // namespace robocache::cuda
