// The CUDA kernel with curves, rotations, runs of columns, missing samples and plans against unit.hpp on the host:
// hold, nearest, linear and angle bit for bit, the others as closely as their compute type allows.
#include <limits>

#include "align_units_case.hpp"
#include "core/visit.hpp"
#include "cuda_test.hpp"

namespace robocache {
namespace {

using namespace cuda_testing;
using align_units::Bytes;
using align_units::Case;
using align_units::Element;
using align_units::Marks;

class CudaAlignUnits : public CudaTest {};

constexpr std::uint8_t kUntouched = 0xa5;

/// One call on the device: inputs copied, outputs blank.
class DeviceCall {
 public:
  DeviceCall(const Case& c, Arena& arena) : case_(c), args_(c.base.args), entries_(c.entries) {
    arena.reset();
    args_.at = arena.copy(c.base.at);
    if (args_.origin != nullptr) args_.origin = arena.copy(c.base.origin);
    for (AlignStream& e : entries_) upload(e, arena);
    const auto streams = static_cast<std::int64_t>(c.base.streams.size());
    const auto rows = static_cast<std::size_t>(args_.batch * args_.targets * streams);
    valid_ = arena.copy(Bytes(rows, kUntouched));
    args_.valid = reinterpret_cast<bool*>(valid_);
    args_.age_ns = arena.copy(std::vector<std::int64_t>(rows, -1));
    args_.valid_batch = args_.age_batch = args_.targets * streams;
    args_.valid_row = args_.age_row = streams;
    args_.valid_stream = args_.age_stream = 1;
    args_.streams = entries_;
  }

  void run() const {
    cuda::align(args_, {}, {});
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }

  /// The same from steps that a call without columns wrote, into the same outputs.
  void run_planned(Arena& arena) {
    const auto count = static_cast<std::size_t>(args_.batch * args_.targets);
    std::vector<AlignStream> clocks = entries_;
    for (AlignStream& e : clocks) {
      e.write_steps = arena.copy(std::vector<PlanStep>(count));
      e.columns = 0;
      if (is_curve(e.place.interp)) e.place.interp = Interp::linear;
    }
    AlignArgs plan = args_;
    plan.streams = clocks;
    cuda::align(plan, {}, {});
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      // A class's steps are its first run's.
      entries_[i].read_steps = clocks[i].write_steps;
      for (std::size_t k = i; k-- > 0 && entries_[k].number == entries_[i].number;) {
        if (clocks[k].place.interp == clocks[i].place.interp) entries_[i].read_steps = clocks[k].write_steps;
      }
      entries_[i].steps_batch = args_.targets;
      entries_[i].stamps = nullptr;
      EXPECT_EQ(cudaMemset(entries_[i].out, kUntouched, bytes(i)), cudaSuccess);
    }
    AlignArgs apply = args_;
    apply.at = nullptr;
    apply.origin = nullptr;
    apply.valid = nullptr;
    apply.age_ns = nullptr;
    apply.check_data = false;
    apply.streams = entries_;
    cuda::align(apply, {}, {});
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }

  [[nodiscard]] Bytes values(std::size_t entry) const {
    return to_host(static_cast<const std::uint8_t*>(entries_[entry].out), bytes(entry));
  }
  [[nodiscard]] const AlignStream& entry(std::size_t i) const { return entries_[i]; }
  [[nodiscard]] Bytes valid() const { return to_host(valid_, marks()); }
  [[nodiscard]] std::vector<std::int64_t> ages() const { return to_host(args_.age_ns, marks()); }

 private:
  [[nodiscard]] std::size_t marks() const {
    return static_cast<std::size_t>(args_.batch * args_.targets) * case_.base.streams.size();
  }
  [[nodiscard]] std::size_t bytes(std::size_t entry) const {
    const AlignStream& e = entries_[entry];
    return static_cast<std::size_t>(args_.batch * e.out_batch + 1) * size_of(e.out_dtype);
  }
  void upload(AlignStream& e, Arena& arena) {
    const align_random::StreamCase& s = case_.base.streams[e.number];
    const auto at = static_cast<const std::uint8_t*>(e.values) - s.values.data();
    e.values = arena.copy(s.values) + at;
    e.stamps = arena.copy(s.stamps);
    if (e.lengths.data != nullptr) e.lengths.data = arena.copy(s.lengths);
    if (e.offsets.data != nullptr) e.offsets.data = arena.copy(s.offsets);
    if (e.rows.data != nullptr) e.rows.data = arena.copy(s.rows);
    if (e.scale != nullptr) e.scale = arena.copy(s.scale) + (e.scale - s.scale.data());
    if (e.bias != nullptr) e.bias = arena.copy(s.bias) + (e.bias - s.bias.data());
    if (e.mask != nullptr) e.mask = reinterpret_cast<const bool*>(arena.copy(case_.masks[e.number]));
    e.out_row = e.columns + e.columns % 3;
    e.out_batch = args_.targets * e.out_row;
    e.out =
        arena.copy(Bytes(static_cast<std::size_t>(args_.batch * e.out_batch + 1) * size_of(e.out_dtype), kUntouched));
  }

  const Case& case_;
  AlignArgs args_;
  std::vector<AlignStream> entries_;
  std::uint8_t* valid_ = nullptr;
};

bool is_as_wanted(const Element& want, DType dtype, const Bytes& got, std::int64_t at) {
  const auto size = static_cast<std::int64_t>(size_of(dtype));
  const double value = static_cast<double>(align_random::value_at(got, dtype, at));
  const double wanted = static_cast<double>(align_random::value_at(want.bits, dtype, 0));
  if (std::isnan(wanted) || std::isnan(value)) return std::isnan(wanted) && std::isnan(value);
  if (want.tolerance > 0) return std::abs(value - want.value) <= want.tolerance || value == wanted;
  return std::memcmp(got.data() + at * size, want.bits.data(), want.bits.size()) == 0;
}

template <class T>
void compare(const Case& c, const DeviceCall& call) {
  const AlignArgs& args = c.base.args;
  const std::size_t streams = c.base.streams.size();
  const Bytes valid = call.valid();
  const std::vector<std::int64_t> ages = call.ages();
  std::vector<Bytes> got;
  for (std::size_t i = 0; i < c.entries.size(); ++i) got.push_back(call.values(i));
  for (std::int64_t b = 0; b < args.batch; ++b) {
    for (std::size_t i = 0; i < c.entries.size();) {
      const std::size_t number = c.entries[i].number;
      std::vector<Marks> marks(static_cast<std::size_t>(args.targets));
      for (; i < c.entries.size() && c.entries[i].number == number; ++i) {
        const AlignStream& e = call.entry(i);
        SCOPED_TRACE("entry " + std::to_string(i) + " interp " + std::to_string(int(e.place.interp)) + " dtype " +
                     std::to_string(int(e.dtype)) + " to " + std::to_string(int(e.out_dtype)) + " columns " +
                     std::to_string(e.columns) + " missing " + std::to_string(int(e.missing)) +
                     (e.mask != nullptr ? " masked" : ""));
        std::vector<Element> want;
        align_units::RowAnswer<T>(c, c.base.streams[number], c.entries[i], b).answer(want, marks);
        for (std::int64_t k = 0; k < args.targets * e.columns; ++k) {
          const std::int64_t t = k / e.columns;
          const std::int64_t d = k % e.columns;
          const std::int64_t at = b * e.out_batch + t * e.out_row + d;
          ASSERT_TRUE(is_as_wanted(want[static_cast<std::size_t>(k)], e.out_dtype, got[i], at))
              << "b " << b << " t " << t << " d " << d << ": "
              << double(align_random::value_at(got[i], e.out_dtype, at)) << ", expected "
              << double(align_random::value_at(want[static_cast<std::size_t>(k)].bits, e.out_dtype, 0)) << " +- "
              << want[static_cast<std::size_t>(k)].tolerance;
        }
      }
      for (std::int64_t t = 0; t < args.targets; ++t) {
        const std::size_t at = static_cast<std::size_t>(b * args.targets + t) * streams + number;
        const Marks& m = marks[static_cast<std::size_t>(t)];
        ASSERT_EQ(int(valid[at]), int(m.valid)) << "stream " << number << " b " << b << " t " << t;
        ASSERT_EQ(ages[at], m.age_ns) << "stream " << number << " b " << b << " t " << t;
      }
    }
  }
}

void compare(const Case& c, const DeviceCall& call) {
  if (c.base.args.time == DType::i64) return compare<std::int64_t>(c, call);
  if (c.base.args.time == DType::f64) return compare<double>(c, call);
  compare<float>(c, call);
}

TEST_F(CudaAlignUnits, RandomCallsAgreeWithTheUnitsOnTheHost) {
  Arena arena(std::size_t{256} << 20);
  for (unsigned seed = 0; seed < 1500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Case c = align_units::make_case(seed);
    DeviceCall call(c, arena);
    call.run();
    compare(c, call);
    if (HasFatalFailure()) return;
  }
}

TEST_F(CudaAlignUnits, PlansGiveTheSameBits) {
  Arena arena(std::size_t{256} << 20);
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Case c = align_units::make_case(seed);
    for (AlignStream& e : c.entries) {
      e.mask = nullptr;
      e.missing = Missing::propagate;
    }
    DeviceCall call(c, arena);
    call.run();
    std::vector<Bytes> want;
    for (std::size_t i = 0; i < c.entries.size(); ++i) want.push_back(call.values(i));
    call.run_planned(arena);
    for (std::size_t i = 0; i < c.entries.size(); ++i) ASSERT_EQ(call.values(i), want[i]) << "entry " << i;
  }
}

}  // namespace
}  // namespace robocache
