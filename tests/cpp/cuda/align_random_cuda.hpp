#pragma once

#include "cuda_test.hpp"
#include "kernels/align_random.hpp"

// Random calls of the align kernels on both devices: all that they write, and the bytes between, is the same bit for
// bit.
namespace robocache::cuda_testing {

inline constexpr std::uint8_t kUntouched = 0xa5;

/// Where one run writes, and the arguments that say so.
struct Outputs {
  std::vector<align_random::Bytes> values;
  align_random::Bytes valid;
  std::vector<std::int64_t> age_ns;
  std::vector<AlignStream> streams;
  AlignArgs args;

  explicit Outputs(const align_random::Case& c) : args(c.args) {
    const auto n = static_cast<std::int64_t>(c.streams.size());
    const std::int64_t rows = args.batch * args.targets;
    std::int64_t odd = 0;
    for (const align_random::StreamCase& s : c.streams) {
      streams.push_back(s.args);
      AlignStream& a = streams.back();
      a.number = static_cast<std::uint32_t>(streams.size() - 1);
      if (a.out_row == 0) {
        a.out_row = a.columns + (odd++ % 4 == 3 ? 0 : odd);
        a.out_batch = args.targets * a.out_row + odd % 2;
      }
      const auto elements = static_cast<std::size_t>(args.batch * a.out_batch + odd + 1);
      values.emplace_back(elements * size_of(a.out_dtype), kUntouched);
    }
    valid.assign(static_cast<std::size_t>(rows * n), kUntouched);
    age_ns.assign(static_cast<std::size_t>(rows * n), -1);
    args.valid_stream = rows;
    args.valid_batch = args.targets;
    args.valid_row = 1;
    args.age_stream = 1;
    args.age_row = n;
    args.age_batch = n * args.targets;
  }
};

inline Outputs on_cpu(const align_random::Case& c) {
  Outputs out(c);
  for (std::size_t i = 0; i < out.streams.size(); ++i) out.streams[i].out = out.values[i].data();
  out.args.streams = out.streams;
  out.args.valid = reinterpret_cast<bool*>(out.valid.data());
  out.args.age_ns = out.age_ns.data();
  cpu::align<Isa::baseline>(out.args, {});
  return out;
}

inline IndexList copied(Arena& arena, const IndexList& list, const std::vector<std::int64_t>& content) {
  return list.data == nullptr ? list : IndexList{arena.copy(content), list.stride, list.wide};
}

inline Outputs on_cuda(const align_random::Case& c, Arena& arena) {
  arena.reset();
  Outputs out(c);
  AlignArgs args = out.args;
  args.at = arena.copy(c.at) + (static_cast<const std::uint8_t*>(args.at) - c.at.data());
  if (args.origin != nullptr) args.origin = arena.copy(c.origin);
  std::vector<std::uint8_t*> values;
  for (std::size_t i = 0; i < c.streams.size(); ++i) {
    const align_random::StreamCase& s = c.streams[i];
    AlignStream& a = out.streams[i];
    a.values = arena.copy(s.values) + (static_cast<const std::uint8_t*>(a.values) - s.values.data());
    a.stamps = arena.copy(s.stamps) + (static_cast<const std::uint8_t*>(a.stamps) - s.stamps.data());
    a.lengths = copied(arena, a.lengths, s.lengths);
    a.offsets = copied(arena, a.offsets, s.offsets);
    a.rows = copied(arena, a.rows, s.rows);
    if (a.scale != nullptr) a.scale = arena.copy(s.scale);
    if (a.bias != nullptr) a.bias = arena.copy(s.bias);
    values.push_back(arena.copy(out.values[i]));
    a.out = values.back();
  }
  args.streams = out.streams;
  std::uint8_t* const valid = arena.copy(out.valid);
  args.valid = reinterpret_cast<bool*>(valid);
  args.age_ns = arena.copy(out.age_ns);
  cuda::align(args, {}, {});
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (std::size_t i = 0; i < values.size(); ++i) out.values[i] = to_host(values[i], out.values[i].size());
  out.valid = to_host(valid, out.valid.size());
  out.age_ns = to_host(args.age_ns, out.age_ns.size());
  return out;
}

inline void expect_equal_to_cpu(const align_random::Case& c, Arena& arena) {
  const Outputs want = on_cpu(c);
  const Outputs got = on_cuda(c, arena);
  ASSERT_EQ(got.values, want.values);
  ASSERT_EQ(got.valid, want.valid);
  ASSERT_EQ(got.age_ns, want.age_ns);
}

}  // namespace robocache::cuda_testing
