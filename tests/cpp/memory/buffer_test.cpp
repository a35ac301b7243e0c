#include "memory/buffer.hpp"

#include <gtest/gtest.h>

#include <type_traits>
#include <utility>

namespace robocache {
namespace {

/// Counts what is out, and remembers the last give-back.
class Counting final : public MemoryResource {
 public:
  void* allocate(std::size_t bytes, void*) override {
    out += bytes;
    ++calls;
    return ::operator new(bytes);
  }
  void deallocate(void* memory, std::size_t bytes, void* stream) noexcept override {
    out -= bytes;
    last_stream = stream;
    ::operator delete(memory);
  }
  [[nodiscard]] Device device() const noexcept override { return {DeviceKind::cuda, 3}; }

  std::size_t out = 0;
  int calls = 0;
  void* last_stream = nullptr;
};

static_assert(!std::is_copy_constructible_v<Buffer> && !std::is_copy_assignable_v<Buffer>);
static_assert(std::is_nothrow_move_constructible_v<Buffer> && std::is_nothrow_move_assignable_v<Buffer>);

TEST(Buffer, OwnsItsBlock) {
  Counting resource;
  int stream = 0;
  {
    const Buffer buffer(resource, 100, &stream);
    EXPECT_EQ(resource.out, 100u);
    EXPECT_NE(buffer.data(), nullptr);
    EXPECT_EQ(buffer.bytes(), 100u);
    EXPECT_EQ(buffer.stream(), &stream);
    EXPECT_EQ(buffer.device(), resource.device());
  }
  EXPECT_EQ(resource.out, 0u);
  EXPECT_EQ(resource.last_stream, &stream);
}

TEST(Buffer, MovesWithoutCopies) {
  Counting resource;
  Buffer a(resource, 10);
  void* const memory = a.data();
  Buffer b(std::move(a));
  EXPECT_EQ(b.data(), memory);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT(bugprone-use-after-move): what a moved-from buffer is
  EXPECT_EQ(a.bytes(), 0u);
  Buffer c(resource, 20);
  c = std::move(b);
  EXPECT_EQ(c.data(), memory);
  EXPECT_EQ(resource.out, 10u) << "the block that c had is not given back";
  Buffer& same = c;
  c = std::move(same);
  EXPECT_EQ(c.data(), memory);
  c = Buffer();
  EXPECT_EQ(resource.out, 0u);
  EXPECT_EQ(resource.calls, 2);
}

TEST(Buffer, NoBytesTakeNoMemory) {
  Counting resource;
  const Buffer none(resource, 0);
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(resource.calls, 0);
  EXPECT_EQ(Buffer().device(), Device{});
}

}  // namespace
}  // namespace robocache
