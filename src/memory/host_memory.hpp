#pragma once

#include <cstddef>
#include <string_view>

namespace robocache {

/// Throws OutOfMemory: `op` asked for `bytes` of host memory. Says what is free.
[[noreturn]] void out_of_host_memory(std::string_view op, std::size_t bytes);

/// Anonymous memory aligned to huge pages and marked for them; nullptr when there is none. Given back by munmap.
void* map_huge_pages(std::size_t bytes) noexcept;

}  // namespace robocache
