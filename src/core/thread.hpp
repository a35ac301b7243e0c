#pragma once

#include <thread>

namespace robocache {

/// A thread that runs body(argument) and takes no signals: these are for the caller's threads (Python's handlers expect
/// the main one). Throws std::system_error where there is none.
[[nodiscard]] std::thread start_thread(void (*body)(void*), void* argument);

}  // namespace robocache
