#include "robocache/align.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "align_call.hpp"
#include "reference/align_generator.hpp"

namespace robocache {
namespace {

using namespace robocache::reference;

void expect_answer(const AlignCase& c, const CaseCall& call) {
  const std::vector<Instant> at = c.resolved();
  const auto N = c.streams.size();
  for (std::size_t i = 0; i < N; ++i) {
    const Expected want = AlignOracle(c.streams[i], at, c.batch, c.targets).answer();
    const Expected got = call.read(i);
    ASSERT_EQ(got.values.size(), want.values.size());
    for (std::size_t k = 0; k < want.values.size(); ++k) {
      ASSERT_TRUE(agrees(want, k, got.values[k], c.out_dtype(i)))
          << "stream " << i << ", element " << k << ": " << got.values[k] << ", expected " << want.values[k] << " +- "
          << want.bound[k];
      ASSERT_TRUE(!c.by_hand || agrees(want, k, rounded(c.values[i][k], c.out_dtype(i)), c.out_dtype(i)))
          << "the oracle and the case table disagree";
    }
    EXPECT_EQ(got.valid, want.valid) << "stream " << i;
    EXPECT_EQ(got.age_ns, want.age_ns) << "stream " << i;
    for (std::size_t row = 0; c.by_hand && row < want.valid.size(); ++row) {
      EXPECT_EQ(want.valid[row], c.valid[row * N + i]) << "the oracle and the case table disagree";
      EXPECT_EQ(want.age_ns[row], c.age_ns[row * N + i]) << "the oracle and the case table disagree";
    }
  }
}

const AlignTable& table() {
  static const AlignTable cases(ROBOCACHE_TEST_CASES "/align.json");
  return cases;
}

class AlignCases : public testing::TestWithParam<std::tuple<std::size_t, Device>> {
 protected:
  const AlignCase c = table()[std::get<0>(GetParam())];
  const Device device = std::get<1>(GetParam());
};

std::string test_name(const testing::TestParamInfo<AlignCases::ParamType>& info) {
  const bool cuda = std::get<1>(info.param).kind == DeviceKind::cuda;
  return table().name(std::get<0>(info.param)) + (cuda ? "_cuda" : "_cpu");
}

std::vector<std::size_t> cases_that(bool fail) {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < table().size(); ++i) {
    if (table().expects_error(i) == fail) indices.push_back(i);
  }
  return indices;
}

class AlignAnswers : public AlignCases {
 protected:
  /// Whether all streams are written in one dtype, as one output needs.
  [[nodiscard]] bool joinable() const {
    for (std::size_t i = 1; i < c.streams.size(); ++i) {
      if (c.out_dtype(i) != c.out_dtype(0)) return false;
    }
    return true;
  }
};

TEST_P(AlignAnswers, AreTheOracles) {
  std::vector<Form> forms = {{true, false, DType::i64}, {true, true, DType::i32}};
  if (joinable()) forms.insert(forms.end(), {{false, false, DType::i64}, {false, true, DType::i32}});
  for (const Form& form : forms) {
    SCOPED_TRACE(std::string(form.split ? "split" : "joined") + (form.pitched ? " pitched" : ""));
    CaseCall call(c, device, form);
    call.run();
    expect_answer(c, call);
    call.expect_gaps_untouched();
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AlignAnswers,
                         testing::Combine(testing::ValuesIn(cases_that(false)), testing::ValuesIn(test_devices())),
                         test_name);

class AlignThreads : public AlignCases {};

TEST_P(AlignThreads, AnyNumberGivesTheSameBytes) {
  std::vector<std::byte> alone;
  for (int threads : {1, 2, 5}) {
    CaseCall call(c, device, {true, true, DType::i64});
    call.run({.threads = threads});
    if (threads == 1) alone = call.bytes();
    EXPECT_EQ(call.bytes(), alone) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AlignThreads,
                         testing::Combine(testing::ValuesIn(cases_that(false)), testing::Values(Device{})), test_name);

class AlignErrors : public AlignCases {};

TEST_P(AlignErrors, NameTheirSubject) {
  CaseCall call(c, device, {true, false, DType::i64});
  std::string type, text;
  try {
    call.run();
  } catch (const InvalidArgument& error) {
    type = "InvalidArgument", text = error.what();
  } catch (const Unsupported& error) {
    type = "Unsupported", text = error.what();
  }
  EXPECT_EQ(type, c.error) << text;
  for (const std::string& part : c.says) EXPECT_NE(text.find(part), std::string::npos) << text << " lacks " << part;
}

INSTANTIATE_TEST_SUITE_P(Cases, AlignErrors,
                         testing::Combine(testing::ValuesIn(cases_that(true)), testing::ValuesIn(test_devices())),
                         test_name);

bool bit_equal(const OracleStream& s) {
  const auto exact = [](Interp interp) { return interp <= Interp::linear || interp == Interp::angle; };
  return s.runs.empty()
             ? exact(s.interp)
             : std::all_of(s.runs.begin(), s.runs.end(), [&](const ColumnRun& r) { return exact(r.interp); });
}

/// CUDA must answer hold, nearest, linear and angle with the bits of the CPU (any NaN is NaN: its payload is the
/// processor's); the other modes are left to the oracle.
TEST(AlignCpuCuda, BitEqual) {
  if (test_devices().size() < 2) GTEST_SKIP() << "no CUDA device";
  for (std::size_t which : cases_that(false)) {
    const AlignCase c = table()[which];
    SCOPED_TRACE(c.name);
    CaseCall cpu(c, test_devices()[0], {true, true, DType::i64});
    CaseCall cuda(c, test_devices()[1], {true, true, DType::i64});
    cpu.run();
    cuda.run();
    for (std::size_t i = 0; i < c.streams.size(); ++i) {
      const Expected want = cpu.read(i);
      const Expected got = cuda.read(i);
      EXPECT_EQ(got.valid, want.valid);
      EXPECT_EQ(got.age_ns, want.age_ns);
      if (!bit_equal(c.streams[i])) continue;
      for (std::size_t k = 0; k < want.values.size(); ++k) {
        const Real a = want.values[k];
        const Real b = got.values[k];
        const bool same = (a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b));
        ASSERT_TRUE(same) << "stream " << i << ", element " << k << ": CPU " << a << ", CUDA " << b;
      }
    }
  }
}

TEST(AlignDevices, CudaWhereItIsRequired) {
  if (test_devices().size() == 2) return;
  const char* required = std::getenv("ROBOCACHE_REQUIRE_CUDA");
  ASSERT_FALSE(required != nullptr && std::string(required) == "1") << "ROBOCACHE_REQUIRE_CUDA=1 and no CUDA device";
  GTEST_SKIP() << "no CUDA device: the cases above ran on the CPU only";
}

}  // namespace
}  // namespace robocache
