// plan and apply_plan: what align writes, bit for bit, for every stream of the case table that a plan can serve.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <set>
#include <string>
#include <vector>

#include "align_call.hpp"
#include "reference/align_generator.hpp"
#include "robocache/align.hpp"

namespace robocache {
namespace {

using namespace robocache::reference;

Layout contiguous(std::vector<std::int64_t> sizes) {
  Layout l{std::move(sizes), {}, 0, 1};
  for (std::size_t i = l.sizes.size(); i-- > 0; l.elements *= l.sizes[i])
    l.strides.insert(l.strides.begin(), l.elements);
  return l;
}

std::vector<Real> read(const Tensor& t) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(t.numel()) * size_of(t.dtype));
  copy_bytes(bytes.data(), t.data, bytes.size(), t.device);
  std::vector<Real> all;
  for (std::size_t i = 0; i < bytes.size(); i += size_of(t.dtype)) all.push_back(load(bytes.data() + i, t.dtype));
  return all;
}

bool same(Real a, Real b) { return (a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b)); }

/// The modes of a stream, with `automatic` resolved: a plan has no values to do it by.
std::vector<ColumnRun> runs_of(const OracleStream& s) {
  std::vector<ColumnRun> runs = s.runs;
  if (runs.empty()) runs.push_back({s.interp, s.columns});
  for (ColumnRun& run : runs) {
    if (run.interp == Interp::automatic) run.interp = is_float(s.dtype) ? Interp::linear : Interp::hold;
  }
  return runs;
}

void set_modes(Stream& stream, const std::vector<ColumnRun>& runs) {
  if (stream.runs.empty()) {
    stream.interp = runs[0].interp;
  } else {
    stream.runs = runs;
  }
}

/// How many of {hold}, {nearest}, {all others} there are.
std::int64_t classes_in(const std::vector<ColumnRun>& runs) {
  std::set<Interp> classes;
  for (const ColumnRun& run : runs) classes.insert(std::min(run.interp, Interp::linear));
  return static_cast<std::int64_t>(classes.size());
}

class Plans : public testing::TestWithParam<Device> {};

TEST_P(Plans, GiveWhatAlignGives) {
  const AlignTable table(ROBOCACHE_TEST_CASES "/align.json");
  int served = 0;
  for (std::size_t which = 0; which < table.size(); ++which) {
    if (table.expects_error(which)) continue;
    const AlignCase c = table[which];
    SCOPED_TRACE(c.name);
    CaseCall call(c, GetParam(), {true, false, DType::i64});
    call.run();
    Arrays arrays(GetParam());
    for (std::size_t i = 0; i < c.streams.size(); ++i) {
      if (!c.streams[i].mask.empty() || c.streams[i].missing != Missing::propagate) continue;
      const std::vector<ColumnRun> runs = runs_of(c.streams[i]);
      Stream clock = call.streams()[i];
      clock.values = clock.scale = clock.bias = {};
      set_modes(clock, runs);
      const Tensor steps = arrays.blank(contiguous({classes_in(runs), c.batch, c.targets, 4}), DType::i64);
      const Tensor valid = arrays.blank(contiguous({c.batch, c.targets, 1}), DType::boolean);
      const Tensor age = arrays.blank(contiguous({c.batch, c.targets, 1}), DType::i64);
      plan(clock, call.targets(), steps, valid, age).check();

      Stream values = call.streams()[i];
      values.stamps = {};
      set_modes(values, runs);
      const Tensor out = arrays.blank(contiguous({c.batch, c.targets, c.streams[i].columns}), c.out_dtype(i));
      apply_plan(steps, values, out);
      const Expected want = call.read(i);
      const std::vector<Real> got = read(out);
      ASSERT_EQ(got.size(), want.values.size());
      for (std::size_t k = 0; k < got.size(); ++k) ASSERT_TRUE(same(got[k], want.values[k])) << "stream " << i;
      const std::vector<Real> marks = read(valid);
      const bool turns = std::any_of(runs.begin(), runs.end(), [](auto run) { return unit_of(run.interp) > 1; });
      for (std::size_t row = 0; row < marks.size() && !turns; ++row) ASSERT_EQ(marks[row] == 1, want.valid[row]);
      const std::vector<Real> ages = read(age);
      for (std::size_t row = 0; row < ages.size(); ++row) ASSERT_EQ(ages[row], static_cast<Real>(want.age_ns[row]));
      ++served;
    }
  }
  EXPECT_GT(served, 120);
}

TEST_P(Plans, RowsOfASharedClock) {
  Arrays arrays(GetParam());
  const auto numbers = [&](std::vector<std::int64_t> sizes, DType dtype, std::vector<Real> content) {
    return arrays.make(contiguous(std::move(sizes)), dtype, [&](std::size_t i) { return content[i]; });
  };
  Stream stream{.values = numbers({3, 2, 1}, DType::f32, {0, 10, 100, 110, 200, 210}),
                .stamps = numbers({2}, DType::i64, {0, 10}),
                .interp = Interp::linear,
                .rows = numbers({2}, DType::i32, {2, 0})};
  const Tensor at = numbers({2, 1}, DType::i64, {5, 10});
  Stream clock = stream;
  clock.values = {};
  const Tensor steps = arrays.blank(contiguous({1, 2, 1, 4}), DType::i64);
  const Tensor valid = arrays.blank(contiguous({2, 1, 1}), DType::boolean);
  plan(clock, at, steps, valid, {}).check();
  EXPECT_EQ(read(valid), (std::vector<Real>{1, 1}));
  const Tensor out = arrays.blank(contiguous({2, 1, 1}), DType::f32);
  stream.stamps = {};
  apply_plan(steps, stream, out);
  EXPECT_EQ(read(out), (std::vector<Real>{205, 10}));
}

TEST_P(Plans, StepsOfOtherSamplesHaveNoValue) {
  Arrays arrays(GetParam());
  const std::vector<std::int64_t> samples = {2, 3, 4, 1'000'000, kNoLimit - 1, kNoLimit};
  const auto T = static_cast<std::int64_t>(samples.size());
  const Tensor steps = arrays.make(contiguous({1, 1, T, 4}), DType::i64, [&](std::size_t i) {
    return i % 4 == 0 ? static_cast<Real>(samples[i / 4]) : Real{0};
  });
  Stream three;
  three.values = arrays.make(contiguous({1, 3, 2}), DType::f32, [](std::size_t i) { return Real(i); });
  three.interp = Interp::linear;
  const Tensor out = arrays.blank(contiguous({1, T, 2}), DType::f32);
  apply_plan(steps, three, out);
  const std::vector<Real> got = read(out);
  EXPECT_EQ(got[0], 4);
  EXPECT_EQ(got[1], 5);
  for (std::size_t i = 2; i < got.size(); ++i) EXPECT_TRUE(std::isnan(got[i])) << i;
}

TEST_P(Plans, ShouldersThatOtherSamplesHadAreNotLookedFor) {
  Arrays arrays(GetParam());
  // Steps 0 and 1 lean on samples -1 and 3 of three; steps 2 and 3 are what is left of them.
  const double words[4][3] = {{0.5, 1, 1}, {0.5, 1, 1}, {0.5, 0, 1}, {0.5, 1, 0}};
  const Tensor steps = arrays.make(contiguous({1, 1, 4, 4}), DType::i64, [&](std::size_t i) {
    if (i % 4 == 0) return static_cast<Real>(i / 4 % 2);
    return static_cast<Real>(std::bit_cast<std::int64_t>(words[i / 4][i % 4 - 1]));
  });
  Stream inner;  // the middle three of five
  const Tensor five = arrays.make(contiguous({1, 5, 1}), DType::f32, [](std::size_t i) { return Real(i * i * i + 1); });
  inner.values = five;
  inner.values.data = static_cast<const float*>(five.data) + 1;
  inner.values.shape[1] = 3;
  inner.interp = Interp::pchip;
  const Tensor out = arrays.blank(contiguous({1, 4, 1}), DType::f32);
  apply_plan(steps, inner, out);
  const std::vector<Real> got = read(out);
  EXPECT_EQ(got[0], got[2]);
  EXPECT_EQ(got[1], got[3]);
}

INSTANTIATE_TEST_SUITE_P(Devices, Plans, testing::ValuesIn(test_devices()), [](const auto& device) {
  return std::string(device.param.kind == DeviceKind::cuda ? "cuda" : "cpu");
});

/// What the front door refuses before any kernel runs.
class PlanFrontDoor : public testing::Test {
 protected:
  Tensor numbers(DType dtype, std::initializer_list<std::int64_t> sizes) { return {&word_, dtype, sizes}; }

  template <class Call>
  void refuses(Call&& call, const std::vector<std::string>& says) {
    try {
      call();
      ADD_FAILURE() << "no error that says " << says.front();
    } catch (const InvalidArgument& error) {
      for (const std::string& part : says) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << " lacks " << part;
      }
    }
  }

  const Stream clock_{.stamps = numbers(DType::i64, {2, 3}), .interp = Interp::linear};
  const Tensor at_ = numbers(DType::i64, {2, 5});
  const Tensor steps_ = numbers(DType::i64, {1, 2, 5, 4});

 private:
  std::int64_t word_ = 0;
};

TEST_F(PlanFrontDoor, OfPlan) {
  Stream bad = clock_;
  bad.mask = numbers(DType::boolean, {2, 3});
  refuses([&] { plan(bad, at_, steps_, {}, {}); }, {"plan: mask", "expected"});
  bad = clock_;
  bad.missing = Missing::skip;
  refuses([&] { plan(bad, at_, steps_, {}, {}); }, {"plan: missing", "expected"});
  refuses([&] { plan({}, at_, steps_, {}, {}); }, {"plan: stamps", "expected"});
  refuses([&] { plan(clock_, at_, numbers(DType::i64, {2, 2, 5, 4}), {}, {}); }, {"steps is [2, 2, 5, 4]", "expected"});
  refuses([&] { plan(clock_, at_, numbers(DType::i64, {1, 2, 4, 4}), {}, {}); }, {"steps is [1, 2, 4, 4]", "expected"});
  refuses([&] { plan(clock_, at_, numbers(DType::f64, {1, 2, 5, 4}), {}, {}); }, {"steps is float64", "int64"});
  refuses([&] { plan(clock_, at_, steps_, numbers(DType::boolean, {2, 5, 2}), {}); },
          {"valid is [2, 5, 2]", "expected"});
}

TEST_F(PlanFrontDoor, OfApply) {
  const Stream good{.values = numbers(DType::f32, {2, 3, 4}), .interp = Interp::linear};
  const Tensor out = numbers(DType::f32, {2, 5, 4});
  Stream bad = good;
  bad.mask = numbers(DType::boolean, {2, 3});
  refuses([&] { apply_plan(steps_, bad, out); }, {"mask", "expected"});
  refuses([&] { apply_plan(steps_, {}, out); }, {"values", "expected"});
  refuses([&] { apply_plan(numbers(DType::i64, {2, 2, 5, 4}), good, out); }, {"steps is [2, 2, 5, 4]", "expected"});
  refuses([&] { apply_plan(steps_, good, numbers(DType::f32, {2, 5, 3})); }, {"out is [2, 5, 3]", "4"});
  EXPECT_THROW(apply_plan(steps_, good, numbers(DType::i32, {2, 5, 4})), Unsupported);
  const ColumnRun runs[] = {{Interp::linear, 1}, {Interp::slerp, 2}};
  bad = good;
  bad.runs = runs;
  bad.interp = Interp::automatic;
  refuses([&] { apply_plan(steps_, bad, out); }, {"4"});
}

}  // namespace
}  // namespace robocache
