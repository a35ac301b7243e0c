#pragma once

#include <cstdint>
#include <string>

#include "core/fault.hpp"
#include "robocache/data_check.hpp"

// What CUDA kernels found wrong with their data: one word a call in pinned, mapped memory, read without a sync.
namespace robocache::cuda {

/// Takes the next report of the device's ring (it must not be in use by a call 4096 calls ago) and clears it.
/// `op` is kept: a string literal. `names` are the caller's names of the call's streams, one a line; empty: it has none.
FaultSink open_sink(int device, const char* op, std::string names = {});

/// The Pending of a call that was launched with `sink` on `stream`.
Pending pending(int device, void* stream, const FaultSink& sink);

/// Throws InvalidArgument when an earlier call on the device has reported a fault that nobody has been told of. Reads
/// one word of host memory; does not wait.
void raise_earlier(int device);

}  // namespace robocache::cuda
