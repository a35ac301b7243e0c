#include "memory/cuda_memory.hpp"

#include <bit>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda/device_guard.hpp"
#include "cuda/error.hpp"
#include "cuda/event.hpp"
#include "cuda/per_device.hpp"
#include "cuda/process.hpp"
#include "robocache/error.hpp"

namespace robocache::cuda {

namespace {

/// Free memory that a device pool keeps for the next allocation instead of giving it back to the driver.
constexpr std::uint64_t kKeptBytes = std::uint64_t{1} << 30;

class DeviceMemory final : public MemoryResource {
 public:
  explicit DeviceMemory(int index) : index_(index) {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location = {cudaMemLocationTypeDevice, index};
    // The first allocation may be made while this thread captures a graph, which a pool is no part of.
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    check("device_memory", cudaThreadExchangeStreamCaptureMode(&mode));
    cudaError_t status = cudaMemPoolCreate(&pool_, &properties);
    std::uint64_t kept = kKeptBytes;
    if (status == cudaSuccess) status = cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &kept);
    check("device_memory", cudaThreadExchangeStreamCaptureMode(&mode));
    check("device_memory", status);
  }

  void* allocate(std::size_t bytes, void* stream) override {
    if (bytes == 0) return nullptr;
    const DeviceGuard guard(index_);
    void* memory = nullptr;
    const cudaError_t status = cudaMallocFromPoolAsync(&memory, bytes, pool_, static_cast<cudaStream_t>(stream));
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      out_of_memory(bytes);
    }
    check("allocate", status);
    return memory;
  }

  void deallocate(void* memory, std::size_t, void* stream) noexcept override {
    if (memory == nullptr) return;
    try {
      const DeviceGuard guard(index_);
      check("deallocate", cudaFreeAsync(memory, static_cast<cudaStream_t>(stream)));
    } catch (const CudaError&) {
      // CUDA is shut down, broken or lost in a fork: there is nothing to give back to.
    }
  }

  [[nodiscard]] Device device() const noexcept override { return {DeviceKind::cuda, index_}; }

 private:
  [[noreturn]] void out_of_memory(std::size_t bytes) const {
    std::size_t free = 0;
    std::size_t all = 0;
    const bool known = cudaMemGetInfo(&free, &all) == cudaSuccess;
    static_cast<void>(cudaGetLastError());
    throw OutOfMemory("device_memory: free memory of " + name(device()) + " is " +
                      (known ? std::to_string(free) + " bytes" : "unknown") + ", expected " + std::to_string(bytes) +
                      " bytes");
  }

  int index_;
  cudaMemPool_t pool_ = nullptr;
};

/// Blocks in sizes of powers of two. Page-locking costs about a millisecond a call, so nothing is ever unlocked.
class PinnedMemory final : public MemoryResource {
 public:
  void* allocate(std::size_t bytes, void*) override {
    if (bytes == 0) return nullptr;
    enter();
    const std::size_t size = block_size(bytes);
    const std::lock_guard lock(mutex_);
    std::vector<Block>& blocks = free_[size];
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (!blocks[i].released.reached()) continue;
      void* memory = blocks[i].memory;
      blocks[i] = std::move(blocks.back());
      blocks.pop_back();
      return memory;
    }
    return page_locked(size);
  }

  void deallocate(void* memory, std::size_t bytes, void* stream) noexcept override {
    if (memory == nullptr || forked()) return;
    try {
      Block block{memory, Event::on(static_cast<cudaStream_t>(stream))};
      const std::lock_guard lock(mutex_);
      free_[block_size(bytes)].push_back(std::move(block));
    } catch (...) {
      // No event tells when the block is free again (the stream is being captured, say): it is lost, not reused early.
    }
  }

  [[nodiscard]] Device device() const noexcept override { return {}; }

 private:
  struct Block {
    void* memory;
    Event released;
  };

  static std::size_t block_size(std::size_t bytes) { return std::bit_ceil(bytes < 4096 ? std::size_t{4096} : bytes); }

  static void* page_locked(std::size_t size) {
    void* memory = nullptr;
    const cudaError_t status = cudaHostAlloc(&memory, size, cudaHostAllocMapped | cudaHostAllocPortable);
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw OutOfMemory("allocate: the host has less memory to page-lock, expected " + std::to_string(size) + " bytes");
    }
    check("allocate", status);
    return memory;
  }

  std::mutex mutex_;
  std::unordered_map<std::size_t, std::vector<Block>> free_;
};

struct Discovery {
  int count = 0;
  std::string why_none;
};

Discovery discover() {
  Discovery found;
  const cudaError_t status = cudaGetDeviceCount(&found.count);
  if (status == cudaSuccess && found.count > 0) {
    enter();  // not before: a process without CUDA loses nothing in a fork
    return found;
  }
  static_cast<void>(cudaGetLastError());
  found.count = 0;
  int driver = 0;
  static_cast<void>(cudaDriverGetVersion(&driver));
  const auto version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); };
  if (driver == 0) {
    found.why_none = "no NVIDIA driver is installed";
  } else if (status == cudaErrorInsufficientDriver) {
    found.why_none = "the NVIDIA driver supports CUDA " + version(driver) + ", expected " + version(CUDART_VERSION) +
                     " or newer (driver R580)";
  } else if (status == cudaSuccess || status == cudaErrorNoDevice) {
    found.why_none = "the NVIDIA driver shows no device to this process";
  } else {
    found.why_none = std::string("the NVIDIA driver reports: ") + cudaGetErrorString(status);
  }
  return found;
}

const Discovery& discovery() noexcept {
  static const Discovery found = discover();
  return found;
}

}  // namespace

MemoryResource& pinned_memory() {
  static auto& memory = *new PinnedMemory;
  return memory;
}

MemoryResource& device_memory(int index) {
  static PerDevice<DeviceMemory> all;
  return all[index];
}

int device_count() noexcept { return forked() ? 0 : discovery().count; }

std::string_view why_no_device() noexcept { return forked() ? kForkedText : std::string_view(discovery().why_none); }

}  // namespace robocache::cuda
