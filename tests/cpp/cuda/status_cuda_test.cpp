// Faults in the data of a CUDA call: found wherever they are, told once, to whoever asks first.
#include <string>

#include "cuda/status.hpp"
#include "cuda_test.hpp"
#include "robocache/align.hpp"
#include "robocache/error.hpp"

namespace robocache {
namespace {

using namespace cuda_testing;

class CudaStatus : public CudaTest {
 protected:
  /// One call over stamps of one row; the values are one column of zeros.
  template <class T>
  Pending call(const std::vector<T>& stamps, DType time, DataCheck check = DataCheck::automatic,
               Outside::Policy outside = Outside::Policy::hold) {
    arena_.reset();
    const auto samples = static_cast<std::int64_t>(stamps.size());
    Stream stream;
    stream.values = {arena_.copy(std::vector<float>(stamps.size())), DType::f32, {1, samples, 1}, kGpu};
    stream.stamps = {arena_.copy(stamps), time, {1, samples}, kGpu};
    stream.before = stream.after = {outside};
    const std::vector<T> at{static_cast<T>(-1), static_cast<T>(3)};
    const Tensor out(arena_.copy(std::vector<float>(2)), DType::f32, {1, 2, 1}, kGpu);
    return resample(stream, ConstTensor(arena_.copy(at), time, {1, 2}, kGpu), out, check);
  }

  static std::string text_of(Pending pending) {
    try {
      pending.check();
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return {};
  }

  Arena arena_{std::size_t{64} << 20};
};

std::vector<std::int64_t> ramp(std::int64_t n) {
  std::vector<std::int64_t> stamps;
  for (std::int64_t i = 0; i < n; ++i) stamps.push_back(i / 2);  // duplicates are sound
  return stamps;
}

TEST_F(CudaStatus, SoundDataIsSilent) {
  for (const std::int64_t n : {0, 1, 2, 255, 256, 257, 1023, 1024, 5000, 200'000}) {
    EXPECT_EQ(text_of(call(ramp(n), DType::i64)), "") << n;
  }
}

TEST_F(CudaStatus, UnsortedStampsAreFoundEverywhere) {
  for (const std::int64_t n : {2, 256, 257, 1023, 1024, 1025, 5000, 200'000}) {
    for (const std::int64_t bad : {std::int64_t{1}, n / 2, n - 1}) {
      std::vector<std::int64_t> stamps = ramp(n);
      stamps[static_cast<std::size_t>(bad)] = stamps[static_cast<std::size_t>(bad - 1)] - 1;
      const std::string text = text_of(call(stamps, DType::i64));
      EXPECT_NE(text.find("stamps is decreasing"), std::string::npos) << n << " " << bad << ": " << text;
      EXPECT_NE(text.find("sample " + std::to_string(bad)), std::string::npos) << n << " " << bad << ": " << text;
    }
  }
}

TEST_F(CudaStatus, NanStampsAreFound) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{300}}) {
    std::vector<double> stamps(n, 1.0);
    stamps[n / 2] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_NE(text_of(call(stamps, DType::f64)).find("NaN"), std::string::npos) << n;
  }
}

TEST_F(CudaStatus, RefusedTargetsAreFound) {
  const std::string text = text_of(call(ramp(4), DType::i64, DataCheck::automatic, Outside::Policy::error));
  EXPECT_NE(text.find("at is outside the range"), std::string::npos) << text;
}

TEST_F(CudaStatus, NowRaisesAtOnceAndOffNever) {
  EXPECT_THROW(call<std::int64_t>({3, 2}, DType::i64, DataCheck::now), InvalidArgument);
  EXPECT_NO_THROW(call<std::int64_t>({3, 2}, DType::i64, DataCheck::off).check());
  EXPECT_NO_THROW(call<std::int64_t>({2, 3}, DType::i64).check()) << "a fault was left behind";
}

TEST_F(CudaStatus, TheNextCallRaisesWhatNobodyAskedFor) {
  static_cast<void>(call<std::int64_t>({3, 2}, DType::i64));
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  try {
    call<std::int64_t>({2, 3}, DType::i64);
    FAIL() << "the fault was lost";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("; reported by an earlier call"), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(call<std::int64_t>({2, 3}, DType::i64).check()) << "told twice";
}

TEST_F(CudaStatus, EachCallAnswersForItself) {
  Pending bad = call<std::int64_t>({3, 2}, DType::i64, DataCheck::automatic);
  EXPECT_NE(text_of(bad), "");
  EXPECT_EQ(text_of(bad), "") << "told twice";
  EXPECT_EQ(text_of(call<std::int64_t>({2, 3}, DType::i64)), "");
}

/// More calls than the ring has slots; the last of many faults is told.
TEST_F(CudaStatus, SlotsAreUsedAgain) {
  for (int i = 0; i < 5000; ++i) {
    const FaultSink sink = cuda::open_sink(0, nullptr, "test", "\n");
    ASSERT_NE(sink.word, nullptr);
    ASSERT_NE(sink.ticket, 0U);
  }
  EXPECT_NE(text_of(call<std::int64_t>({3, 2}, DType::i64)), "");
}

}  // namespace
}  // namespace robocache
