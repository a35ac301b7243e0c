#pragma once

#include <robocache/memory.hpp>

namespace robocache {

/// How a call runs. A default Context uses the default stream, the device's own memory pool and all processors.
struct Context {
  void* stream = nullptr;             ///< cudaStream_t that the work is ordered on; ignored on the CPU
  MemoryResource* scratch = nullptr;  ///< temporary memory; nullptr: device_memory() or host_memory()
  int threads = 0;                    ///< CPU threads at most; 0: one per processor
};

}  // namespace robocache
