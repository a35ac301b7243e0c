#pragma once

#include <string_view>

#include "robocache/memory.hpp"

// The CUDA side of robocache/memory.hpp.
namespace robocache::cuda {

/// Page-locked, mapped host memory that is recycled once the stream it was given back on has passed that point.
MemoryResource& pinned_memory();

/// A stream-ordered pool of device `index`.
MemoryResource& device_memory(int index);

/// Devices that this process can use; asks the driver once. 0 in a process forked after CUDA was used.
[[nodiscard]] int device_count() noexcept;

/// Why device_count() is 0, for people to read; empty when it is not.
[[nodiscard]] std::string_view why_no_device() noexcept;

}  // namespace robocache::cuda
