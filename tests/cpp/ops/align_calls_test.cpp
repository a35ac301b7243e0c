#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "align_call.hpp"
#include "reference/align_generator.hpp"
#include "robocache/align.hpp"

namespace robocache {
namespace {

using namespace robocache::reference;

std::string on_device(const testing::TestParamInfo<Device>& info) {
  return info.param.kind == DeviceKind::cuda ? "cuda" : "cpu";
}

/// What a call does besides its answers, on each device.
class AlignCalls : public testing::TestWithParam<Device> {
 protected:
  Arrays arrays{GetParam()};

  Tensor numbers(std::vector<std::int64_t> sizes, const std::vector<Real>& content, DType dtype = DType::f32) {
    Layout l{std::move(sizes), {}, 0, static_cast<std::int64_t>(content.size())};
    std::int64_t stride = 1;
    for (std::size_t i = l.sizes.size(); i-- > 0; stride *= l.sizes[i]) l.strides.insert(l.strides.begin(), stride);
    return arrays.make(l, dtype, [&](std::size_t i) { return content[i]; });
  }
  Tensor times(std::vector<std::int64_t> sizes, const std::vector<Real>& content) {
    return numbers(std::move(sizes), content, DType::i64);
  }
  std::vector<Real> read(const Tensor& t) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(t.numel()) * size_of(t.dtype));
    copy_bytes(bytes.data(), t.data, bytes.size(), t.device);
    std::vector<Real> all;
    for (std::size_t i = 0; i < bytes.size(); i += size_of(t.dtype)) all.push_back(load(bytes.data() + i, t.dtype));
    return all;
  }
  Stream ramp() { return {.values = numbers({1, 2, 1}, {0, 10}), .stamps = times({1, 2}, {0, 10})}; }
};

TEST_P(AlignCalls, ResampleIsAlignWithOneStream) {
  const Tensor out = numbers({1, 3, 1}, {7, 7, 7});
  resample(ramp(), times({1, 3}, {0, 5, 20}), out).check();
  EXPECT_EQ(read(out), (std::vector<Real>{0, 5, 10}));
}

TEST_P(AlignCalls, ScaleAndBiasAreThoseOfTheirColumns) {
  const std::vector<ColumnRun> runs{{Interp::linear, 2}, {Interp::hold, 1}, {Interp::nearest, 1}};
  const Stream stream{.values = numbers({1, 1, 4}, {1, 1, 1, 1}),
                      .stamps = times({1, 1}, {0}),
                      .scale = numbers({4}, {2, 3, 4, 5}),
                      .bias = numbers({4}, {10, 20, 30, 40}),
                      .runs = runs};
  const Tensor out = numbers({1, 1, 4}, {7, 7, 7, 7});
  resample(stream, times({1}, {0}), out).check();
  EXPECT_EQ(read(out), (std::vector<Real>{12, 23, 34, 45}));
}

TEST_P(AlignCalls, AFaultOfASharedClockIsToldOfItsFirstRow) {
  std::vector<Real> stamps(300);
  for (std::size_t i = 0; i < stamps.size(); ++i) stamps[i] = static_cast<Real>(i == 290 ? 0 : i);
  const Stream stream{.values = numbers({4, 300, 1}, std::vector<Real>(1200, 1)), .stamps = times({300}, stamps)};
  const Tensor out = numbers({4, 2, 1}, std::vector<Real>(8, 7));
  try {
    resample(stream, times({4, 2}, {1, 2, 1, 2, 1, 2, 1, 2}), out).check();
    ADD_FAILURE() << "no error";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("290"), std::string::npos) << error.what();
    for (const char* row : {"[1", "[2,", "[3,", "row 1", "row 2", "row 3"}) {
      EXPECT_EQ(std::string(error.what()).find(row), std::string::npos) << error.what();
    }
  }
}

TEST_P(AlignCalls, ValidAndAgeAreOptional) {
  const std::vector<Stream> streams{ramp(), ramp()};
  const Tensor out[] = {numbers({1, 1, 2}, {7, 7})};
  const Tensor valid = numbers({1, 1, 2}, {0, 0}, DType::boolean);
  const Tensor age = times({1, 1, 2}, {0, 0});
  align(streams, times({1}, {5}), out, valid, {}).check();
  EXPECT_EQ(read(valid), (std::vector<Real>{1, 1}));
  align(streams, times({1}, {6}), out, {}, age).check();
  EXPECT_EQ(read(age), (std::vector<Real>{6, 6}));
  EXPECT_EQ(read(out[0]), (std::vector<Real>{6, 6}));
}

TEST_P(AlignCalls, MoreStreamsThanOneLaunchTakes) {
  const std::int64_t N = 131;
  std::vector<Stream> streams;
  std::vector<Real> want;
  for (std::int64_t i = 0; i < N; ++i) {
    streams.push_back(ramp());
    streams.back().offset_ns = i % 5;
    want.push_back(5 - i % 5);
  }
  const Tensor out[] = {numbers({1, 1, N}, std::vector<Real>(want.size(), -1))};
  const Tensor age = times({1, 1, N}, std::vector<Real>(want.size(), -1));
  align(streams, times({1}, {5}), out, {}, age).check();
  EXPECT_EQ(read(out[0]), want);
  EXPECT_EQ(read(age), want);
}

TEST_P(AlignCalls, CheckOffNeverLooks) {
  Stream stream = ramp();
  stream.stamps = times({1, 2}, {10, 0});
  const Tensor out = numbers({1, 1, 1}, {7});
  EXPECT_NO_THROW(resample(stream, times({1}, {5}), out, DataCheck::off).check());
}

/// Unsorted stamps that nobody checks give some sample, never what lies beside the samples.
TEST_P(AlignCalls, UnsortedStampsStayInsideTheArrays) {
  const std::int64_t S = 300, T = 500;
  std::vector<Real> values, stamps, at;
  for (std::int64_t i = 0; i < S; ++i) {
    values.push_back(i + 1);
    stamps.push_back(i * 7919 % 1009);
  }
  for (std::int64_t t = 0; t < T; ++t) at.push_back(t * 104729 % 1100 - 40);
  for (Interp interp : {Interp::hold, Interp::nearest}) {
    for (Outside::Policy policy : {Outside::Policy::hold, Outside::Policy::extrapolate}) {
      const Stream stream{.values = numbers({1, S, 1}, values),
                          .stamps = times({1, S}, stamps),
                          .interp = interp,
                          .before = {policy},
                          .after = {policy}};
      for (bool sorted : {false, true}) {
        if (sorted) std::sort(at.begin(), at.end());
        const Tensor out = numbers({1, T, 1}, std::vector<Real>(at.size(), 0));
        resample(stream, times({1, T}, at), out, DataCheck::off);
        for (Real x : read(out)) EXPECT_TRUE(x >= 1 && x <= S) << x;
      }
    }
  }
}

TEST_P(AlignCalls, BadListsAreNeverFollowed) {
  const Tensor values = numbers({2, 1}, {1, 2});
  const Tensor stamps = times({2}, {0, 10});
  const Tensor padded = numbers({2, 1, 1}, {1, 2});
  const Tensor clocks = times({2, 1}, {0, 0});
  const std::vector<Stream> bad{{.values = values, .stamps = stamps, .offsets = times({3}, {0, 1000000000000, 2})},
                                {.values = values, .stamps = stamps, .offsets = times({3}, {-5, 1, 0})},
                                {.values = padded, .stamps = clocks, .lengths = times({2}, {-1, 1000000000000})},
                                {.values = padded, .stamps = clocks, .rows = times({2}, {-1, 1000000000000})}};
  const Tensor out[] = {numbers({2, 1, 4}, std::vector<Real>(8, 7))};
  const Tensor valid = numbers({2, 1, 4}, std::vector<Real>(8, 1), DType::boolean);
  align(bad, times({1}, {5}), out, valid, {}, DataCheck::off);
  for (Real x : read(out[0])) EXPECT_TRUE(std::isnan(x)) << x;
  EXPECT_EQ(read(valid), std::vector<Real>(8, 0));
  for (const Stream& stream : bad) {
    const Tensor one = numbers({2, 1, 1}, {7, 7});
    EXPECT_THROW(resample(stream, times({1}, {5}), one, DataCheck::now).check(), InvalidArgument);
  }
}

TEST_P(AlignCalls, AFaultIsRaisedOnceAndTheNextCallWorks) {
  Stream stream = ramp();
  stream.stamps = times({1, 2}, {10, 0});
  const Tensor out = numbers({1, 1, 1}, {7});
  EXPECT_THROW(resample(stream, times({1}, {5}), out).check(), InvalidArgument);
  EXPECT_NO_THROW(resample(ramp(), times({1}, {5}), out).check());
  EXPECT_EQ(read(out), std::vector<Real>{5});
}

TEST_P(AlignCalls, AnEarlierFaultIsRaisedByTheNextCall) {
  if (GetParam().kind == DeviceKind::cpu) GTEST_SKIP() << "the CPU raises at once";
  Stream stream = ramp();
  stream.stamps = times({1, 2}, {10, 0});
  const Tensor out = numbers({1, 1, 1}, {7});
  Pending pending = resample(stream, times({1}, {5}), out);  // must not throw: nothing has been waited for
  (void)read(out);                                           // waits
  EXPECT_THROW(resample(ramp(), times({1}, {5}), out), InvalidArgument);
  EXPECT_NO_THROW(pending.check()) << "reported twice";
}

/// Rows far beyond 2^31 elements apart, in memory that is reserved and hardly touched.
TEST_P(AlignCalls, StridesBeyond32Bits) {
  constexpr std::size_t kBytes = std::size_t{7} << 30;
  const bool cuda = GetParam().kind == DeviceKind::cuda;
  void* memory =
      cuda ? device_memory(0).allocate(kBytes, nullptr)
           : mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  constexpr std::int64_t kPitch = (std::int64_t{5} << 29) + 3;  // 2.7e9 elements
  Tensor far(memory, DType::u8, {1, 2, 2}, GetParam());
  far.strides[1] = kPitch;
  Tensor out(memory, DType::u8, {1, 2, 2}, GetParam());
  out.data = static_cast<std::byte*>(memory) + 1024;
  out.strides[1] = kPitch;
  const auto put = [&](std::int64_t at, std::uint8_t x) {
    copy_bytes(static_cast<std::byte*>(memory) + at, &x, 1, GetParam());
  };
  for (std::int64_t d : {0, 1}) {
    put(d, static_cast<std::uint8_t>(1 + d));
    put(kPitch + d, static_cast<std::uint8_t>(11 + d));
  }
  const Stream stream{.values = far, .stamps = times({1, 2}, {0, 10})};
  resample(stream, times({1, 2}, {10, 3}), out).check();
  for (std::int64_t d : {0, 1}) {
    std::uint8_t got[2] = {};
    copy_bytes(&got[0], static_cast<std::byte*>(out.data) + d, 1, GetParam());
    copy_bytes(&got[1], static_cast<std::byte*>(out.data) + kPitch + d, 1, GetParam());
    EXPECT_EQ(got[0], 11 + d);
    EXPECT_EQ(got[1], 1 + d);
  }
  if (cuda)
    device_memory(0).deallocate(memory, kBytes, nullptr);
  else
    munmap(memory, kBytes);
}

/// More than 2^31 rows and output elements (the predecessor's launch failed and left the output unwritten).
TEST_P(AlignCalls, MoreRowsThan32Bits) {
  if (GetParam().kind == DeviceKind::cpu)
    GTEST_SKIP() << "takes long on a CPU; strides beyond 32 bits are tested there";
  constexpr std::int64_t T = (std::int64_t{1} << 31) + 5;
  void* memory = device_memory(0).allocate(T, nullptr);
  const Tensor out(memory, DType::u8, {1, T, 1}, GetParam());
  Tensor at = times({1}, {10});
  at.shape[0] = T;
  at.strides[0] = 0;
  const Stream stream{.values = numbers({1, 2, 1}, {3, 9}, DType::u8), .stamps = times({1, 2}, {0, 10})};
  resample(stream, at, out).check();
  for (std::int64_t t : {std::int64_t{0}, T / 2, (std::int64_t{1} << 31) - 1, T - 1}) {
    std::uint8_t got = 0;
    copy_bytes(&got, static_cast<std::byte*>(memory) + t, 1, GetParam());
    EXPECT_EQ(got, 9) << t;
  }
  device_memory(0).deallocate(memory, T, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Devices, AlignCalls, testing::ValuesIn(test_devices()), on_device);

/// What the front door refuses before any kernel runs. Nothing here is read, so no memory is needed.
TEST(AlignFrontDoor, SaysWhatWasGivenAndWhatIsExpected) {
  float value = 0;
  std::int64_t stamp = 0;
  const auto f32 = [&](std::initializer_list<std::int64_t> sizes) { return Tensor(&value, DType::f32, sizes); };
  const auto i64 = [&](std::initializer_list<std::int64_t> sizes) { return Tensor(&stamp, DType::i64, sizes); };
  const auto refuses = [&](const Stream& stream, const Targets& at, const Tensor& out, std::vector<std::string> says) {
    try {
      align({&stream, 1}, at, {&out, 1}, {}, {});
      ADD_FAILURE() << "no error that says " << says.front();
    } catch (const std::exception& error) {
      for (const std::string& part : says) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << " lacks " << part;
      }
    }
  };
  const Stream good{.values = f32({2, 3, 4}), .stamps = i64({2, 3})};
  Stream bad = good;
  bad.stamps = i64({2, 4});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].stamps", "[2, 4]", "[B=2, S=3]"});
  bad = good;
  bad.values = f32({2, 3});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].values", "[2, 3]", "D]"});
  refuses(good, i64({3, 1}), f32({2, 1, 4}), {"streams[0].values", "[2, 3, 4]", "B=3"});
  refuses(good, i64({2, 1}), f32({2, 1, 5}), {"out", "[2, 1, 5]", "4]"});
  refuses(good, i64({2, 1}), i64({2, 1, 4}), {"out", "int64", "float32"});
  refuses(good, f32({2, 1}), f32({2, 1, 4}), {"streams[0].stamps", "int64", "float32"});
  bad = good;
  bad.lengths = f32({2});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].lengths", "float32", "int32", "int64"});
  bad = good;
  bad.lengths = i64({3});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].lengths", "[3]"});
  bad = good;
  bad.max_gap_ns = -1;
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].max_gap_ns", "-1", ">= 0"});
  bad = good;
  bad.scale = f32({3});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].scale", "[3]", "4"});
  bad = good;
  bad.stamps.device = {DeviceKind::cuda, 0};
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].stamps", "cuda:0", "cpu"});
  const auto mask = [&](std::initializer_list<std::int64_t> sizes) { return Tensor(&stamp, DType::boolean, sizes); };
  bad = good;
  bad.mask = mask({2, 4});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].mask", "[2, 4]", "[B=2, S=3]"});
  bad.mask = mask({4});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].mask", "[4]", "[S=3]"});
  bad.mask = f32({2, 3});
  refuses(bad, i64({2, 1}), f32({2, 1, 4}), {"streams[0].mask", "float32", "bool"});
  const auto refuses_runs = [&](const std::vector<ColumnRun>& runs, const std::vector<std::string>& says) {
    Stream stream = good;
    stream.runs = runs;
    refuses(stream, i64({2, 1}), f32({2, 1, 4}), says);
  };
  refuses_runs({{Interp::linear, 3}}, {"3 columns", "4"});
  refuses_runs({{Interp::linear, 3}, {Interp::hold, 2}}, {"5 columns", "4"});
  refuses_runs({{Interp::linear, 5}, {Interp::hold, -1}}, {"-1"});
  refuses_runs({{Interp::hold, 1}, {Interp::slerp, 3}}, {"multiple of 4", "slerp"});
  refuses_runs({{Interp::se3, 4}}, {"multiple of 7", "se3"});
  Tensor strided = f32({2, 1, 4});
  strided.strides[2] = 2;
  refuses(good, i64({2, 1}), strided, {"out", "columns"});
  EXPECT_THROW(align({}, i64({1}), {}, {}, {}), InvalidArgument);
  try {
    resample({.values = f32({2, 3, 4}), .stamps = i64({2, 4})}, i64({2, 1}), f32({2, 1, 4}));
    ADD_FAILURE() << "no error";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(), "resample: stamps is [2, 4], expected [B=2, S=3]");
  }
  refuses({.values = f32({2, 3, 4}), .stamps = i64({2, 3}), .name = "imu"}, i64({1, 1}), f32({1, 1, 4}), {"imu"});
}

TEST(AlignFrontDoor, OutputsHaveMemoryOfTheirOwn) {
  std::vector<float> memory(24);  // values [2, 3, 4], or the same with gaps
  std::vector<std::int64_t> times{0, 1, 2, 0, 1, 2};
  float other[8] = {};
  const Tensor values(memory.data(), DType::f32, {2, 3, 4});
  const Tensor at(times.data(), DType::i64, {2, 1});
  const Stream stream{.values = values, .stamps = Tensor(times.data(), DType::i64, {2, 3})};
  const auto refuses = [&](const Tensor& out, const Tensor& age_ns, const std::string& text) {
    try {
      align({&stream, 1}, at, {&out, 1}, {}, age_ns);
      ADD_FAILURE() << "no error that says " << text;
    } catch (const InvalidArgument& error) {
      EXPECT_EQ(error.what(), text);
    }
  };
  for (std::int64_t first : {0, 16, 23}) {
    refuses(Tensor(memory.data() + first, DType::f32, {2, 1, 4}), {},
            "align: out is in the memory of streams[0].values, expected memory of its own");
  }
  const Tensor out(other, DType::f32, {2, 1, 4});
  refuses(out, Tensor(times.data() + 5, DType::i64, {2, 1, 1}),
          "align: age_ns is in the memory of streams[0].stamps, expected memory of its own");
  refuses(out, Tensor(other + 6, DType::i64, {2, 1, 1}),
          "align: age_ns is in the memory of out, expected memory of its own");
  Tensor shared = out;
  shared.strides[0] = 0;
  refuses(shared, {}, "align: out is expanded (stride 0), expected memory of its own for each element");
  EXPECT_NO_THROW(align({&stream, 1}, at, {&out, 1}, {}, {}));
}

/// The columns of one array that are not read may be written.
TEST(AlignFrontDoor, AnOutputMayLieInTheGapsOfItsInput) {
  std::vector<float> memory{1, 2, -1, -1, 3, 4, -1, -1};
  std::vector<std::int64_t> stamps{0, 10};
  std::vector<std::int64_t> times{5, 10};
  const auto columns = [&](std::int64_t first) {
    Tensor half(memory.data() + first, DType::f32, {1, 2, 2});
    half.strides[0] = 8, half.strides[1] = 4;
    return half;
  };
  resample({.values = columns(0), .stamps = Tensor(stamps.data(), DType::i64, {2})},
           Tensor(times.data(), DType::i64, {2}), columns(2));
  EXPECT_EQ(memory, (std::vector<float>{1, 2, 2, 3, 3, 4, 3, 4}));
}

TEST(AlignConcurrent, ManyThreadsAtOnce) {
  const AlignTable table(ROBOCACHE_TEST_CASES "/align.json");
  std::vector<AlignCase> good;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (!table.expects_error(i)) good.push_back(table[i]);
  }
  std::erase_if(good, [](const AlignCase& c) { return c.batch * c.targets >= 600; });
  std::vector<std::vector<std::byte>> want;
  for (const AlignCase& c : good) {
    CaseCall call(c, {}, {true, false, DType::i64});
    call.run({.threads = 1});
    want.push_back(call.bytes());
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < 6; ++k) {
    threads.emplace_back([&, k] {
      for (std::size_t i = 0; i < good.size(); ++i) {
        const std::size_t which = (i + k * 7) % good.size();
        CaseCall call(good[which], {}, {true, false, DType::i64});
        call.run({.threads = static_cast<int>(k % 3)});
        if (call.bytes() != want[which]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace robocache
