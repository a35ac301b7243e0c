#pragma once

#include <cstddef>

#include <robocache/device.hpp>

namespace robocache {

/// A source of memory on one device. Implementations are safe to call from several threads.
class MemoryResource {
 public:
  MemoryResource() = default;
  MemoryResource(const MemoryResource&) = delete;
  MemoryResource& operator=(const MemoryResource&) = delete;
  virtual ~MemoryResource() = default;

  /// Returns at least `bytes` bytes aligned to 256, usable by work ordered after this call on `stream` (a cudaStream_t;
  /// ignored for host memory). Never returns nullptr for bytes > 0. Throws OutOfMemory.
  [[nodiscard]] virtual void* allocate(std::size_t bytes, void* stream) = 0;

  /// Gives memory back once the work already ordered on `stream` is done. `bytes` is what allocate was asked for.
  virtual void deallocate(void* memory, std::size_t bytes, void* stream) noexcept = 0;

  [[nodiscard]] virtual Device device() const noexcept = 0;
};

/// Pageable host memory. Large blocks sit on huge pages and are recycled, so that a result of the same size as an
/// earlier one costs no page faults.
MemoryResource& host_memory();

/// Page-locked host memory that CUDA devices can read and write in place. Throws Unsupported in a build without CUDA.
MemoryResource& pinned_memory();

/// Memory of CUDA device `index`, stream-ordered. Throws Unsupported in a build without CUDA, CudaError for a bad
/// index.
MemoryResource& device_memory(int index);

/// Number of CUDA devices that this process can use; 0 without CUDA, without a driver or with a driver too old.
[[nodiscard]] int cuda_device_count() noexcept;

}  // namespace robocache
