#pragma once

#include <cstddef>
#include <string_view>

namespace robocache {

/// Throws OutOfMemory: `op` asked for `bytes` of host memory. Says what is free.
[[noreturn]] void out_of_host_memory(std::string_view op, std::size_t bytes);

}  // namespace robocache
