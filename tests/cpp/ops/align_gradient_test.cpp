#include "robocache/align_gradient.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "align_arrays.hpp"

namespace robocache {
namespace {

using reference::Arrays;

/// One stream in f64 with everything that C++ alone offers: rows, scale, bias.
struct StreamSpec {
  Interp interp = Interp::linear;
  std::int64_t segments = 1, samples = 0, columns = 1;
  std::vector<double> values;
  std::vector<std::int64_t> stamps, lengths, offsets, rows;
  std::vector<float> scale, bias;
  std::vector<std::uint8_t> mask;
  Missing missing = Missing::propagate;
  Outside before{}, after{};
};

/// A random call; `grad_out` is [B, T, sum D].
struct Problem {
  std::int64_t batch = 1, targets = 0, columns = 0;
  std::vector<std::int64_t> at, origin;
  std::vector<StreamSpec> streams;
  std::vector<double> grad_out;

  Problem(unsigned seed, std::initializer_list<Interp> modes) : random_(seed) {
    batch = integer(1, 3);
    targets = integer(0, 9);
    for (std::int64_t k = 0; k < batch * targets; ++k) at.push_back(integer(-4, 30));
    if (integer(0, 1) == 0) {
      for (std::int64_t b = 0; b < batch; ++b) std::sort(at.begin() + b * targets, at.begin() + (b + 1) * targets);
    }
    if (integer(0, 2) == 0) origin.resize(static_cast<std::size_t>(batch), 3);
    for (std::int64_t n = integer(1, 2); n > 0; --n) {
      streams.push_back(make_stream(modes.begin()[integer(0, static_cast<std::int64_t>(modes.size()) - 1)]));
      columns += streams.back().columns;
    }
    for (std::int64_t k = 0; k < batch * targets * columns; ++k) grad_out.push_back(real());
  }

  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }

 private:
  double real() { return std::normal_distribution<double>()(random_); }

  StreamSpec make_stream(Interp interp) {
    StreamSpec s;
    s.interp = interp;
    const int unit = interp == Interp::slerp ? 4 : interp == Interp::se3 || interp == Interp::screw ? 7 : 1;
    s.columns = unit * integer(1, 2);
    s.samples = integer(0, 7);
    s.segments = batch;
    if (integer(0, 2) == 0) {
      s.segments = integer(1, 3);
      for (std::int64_t b = 0; b < batch; ++b) s.rows.push_back(integer(0, s.segments - 1));
    }
    const std::int64_t layout = integer(0, 3);
    std::int64_t groups = s.segments;
    if (layout == 0) {
      for (std::int64_t g = 0; g < s.segments; ++g) s.lengths.push_back(integer(0, s.samples));
    } else if (layout == 1) {
      groups = 1;
      for (std::int64_t g = 0; g <= s.segments; ++g) s.offsets.push_back(integer(0, s.samples));
      std::sort(s.offsets.begin(), s.offsets.end());
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      std::vector<std::int64_t> stamps;
      for (std::int64_t i = 0; i < s.samples; ++i) stamps.push_back(2 * integer(0, 12));
      std::sort(stamps.begin(), stamps.end());
      s.stamps.insert(s.stamps.end(), stamps.begin(), stamps.end());
    }
    for (std::int64_t k = 0; k < groups * s.samples * s.columns; ++k) s.values.push_back(real());
    if (integer(0, 1) == 0) {
      for (std::int64_t k = 0; k < groups * s.samples; ++k) s.mask.push_back(integer(0, 3) > 0);
      const Missing policies[] = {Missing::propagate, Missing::skip, Missing::hold};
      s.missing = policies[integer(0, 2)];
    }
    for (std::int64_t d = integer(0, 1) * s.columns; d > 0; --d) s.scale.push_back(static_cast<float>(integer(1, 3)));
    for (std::int64_t d = integer(0, 1) * s.columns; d > 0; --d) s.bias.push_back(static_cast<float>(integer(-2, 2)));
    const Outside::Policy policies[] = {Outside::Policy::hold, Outside::Policy::fill, Outside::Policy::extrapolate};
    s.before.policy = policies[integer(0, 2)];
    s.after.policy = policies[integer(0, 2)];
    s.after.value = 7;
    return s;
  }

  std::mt19937 random_;
};

/// A call of a problem on a device.
class Call {
 public:
  Call(const Problem& problem, Device device) : problem_(problem), arrays_(device), at_(ConstTensor{}) {
    at_ = Targets(shaped(arrays_.list(problem.at, DType::i64), {problem.batch, problem.targets}));
    if (!problem.origin.empty()) at_.origin = arrays_.list(problem.origin, DType::i64);
    for (const StreamSpec& s : problem.streams) streams_.push_back(upload(s));
    out_ = shaped(arrays_.list(std::vector<double>(problem.grad_out.size()), DType::f64), out_shape());
    out_block_ = &arrays_.last();
  }

  std::vector<double> align() {
    Tensor out;
    std::memcpy(static_cast<void*>(&out), &out_, sizeof out);
    robocache::align(streams_, at_, {&out, 1}, {}, {}).check();
    return read(*out_block_);
  }

  /// After align(). Unwanted streams get none.
  std::vector<std::vector<double>> gradient(bool first_wanted = true) {
    const ConstTensor grad = shaped(arrays_.list(problem_.grad_out, DType::f64), out_shape());
    std::vector<Tensor> gradients(streams_.size());
    std::vector<const reference::Block*> blocks(streams_.size());
    for (std::size_t i = first_wanted ? 0 : 1; i < streams_.size(); ++i) {
      const ConstTensor& like = streams_[i].values;
      const std::vector<std::int64_t> shape(like.shape, like.shape + like.rank);
      gradients[i] =
          shaped(arrays_.list(std::vector<double>(problem_.streams[i].values.size(), 99), DType::f64), shape);
      blocks[i] = &arrays_.last();
    }
    align_gradient(streams_, at_, {&grad, 1}, {&out_, 1}, gradients).check();
    std::vector<std::vector<double>> result;
    for (const reference::Block* block : blocks)
      result.push_back(block != nullptr ? read(*block) : std::vector<double>{});
    return result;
  }

 private:
  [[nodiscard]] std::vector<std::int64_t> out_shape() const {
    return {problem_.batch, problem_.targets, problem_.columns};
  }

  template <class View>
  static View shaped(View view, const std::vector<std::int64_t>& shape) {
    view.rank = static_cast<std::int32_t>(shape.size());
    std::int64_t stride = 1;
    for (int i = view.rank - 1; i >= 0; --i) {
      view.shape[i] = shape[static_cast<std::size_t>(i)];
      view.strides[i] = stride;
      stride *= view.shape[i];
    }
    return view;
  }

  static std::vector<double> read(const reference::Block& block) {
    const std::vector<std::byte> bytes = block.get();
    std::vector<double> numbers(bytes.size() / sizeof(double));
    if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), bytes.size());
    return numbers;
  }

  Stream upload(const StreamSpec& s) {
    const bool packed = !s.offsets.empty();
    const auto shape = [&](std::initializer_list<std::int64_t> rest) {
      std::vector<std::int64_t> all(rest);
      if (!packed) all.insert(all.begin(), s.segments);
      return all;
    };
    Stream stream;
    stream.values = shaped(arrays_.list(s.values, DType::f64), shape({s.samples, s.columns}));
    stream.stamps = shaped(arrays_.list(s.stamps, DType::i64), shape({s.samples}));
    stream.interp = s.interp;
    stream.before = s.before;
    stream.after = s.after;
    if (!s.lengths.empty()) stream.lengths = arrays_.list(s.lengths, DType::i64);
    if (packed) stream.offsets = arrays_.list(s.offsets, DType::i32);
    if (!s.rows.empty()) stream.rows = arrays_.list(s.rows, DType::i64);
    if (!s.scale.empty()) stream.scale = arrays_.list(s.scale, DType::f32);
    if (!s.bias.empty()) stream.bias = arrays_.list(s.bias, DType::f32);
    if (!s.mask.empty()) stream.mask = shaped(arrays_.list(s.mask, DType::boolean), shape({s.samples}));
    stream.missing = s.missing;
    return stream;
  }

  const Problem& problem_;
  Arrays arrays_;
  Targets at_;
  std::vector<Stream> streams_;
  ConstTensor out_;
  const reference::Block* out_block_ = nullptr;
};

/// The scalar that grad_out is the derivative of, less that of `base`; outputs without a value do not count.
double change(const Problem& problem, const std::vector<double>& base) {
  const std::vector<double> out = Call(problem, {}).align();
  double sum = 0;
  for (std::size_t k = 0; k < out.size(); ++k) {
    if (std::isfinite(base[k])) sum += problem.grad_out[k] * (out[k] - base[k]);
  }
  return sum;
}

/// Compares with differences; returns how many derivatives there were, kinks left out.
int expect_slopes(Problem& problem, const std::vector<std::vector<double>>& gradients,
                  const std::vector<double>& base) {
  constexpr double kStep = 1e-6;
  int told = 0;
  for (std::size_t i = 0; i < problem.streams.size(); ++i) {
    std::vector<double>& values = problem.streams[i].values;
    for (std::size_t k = 0; k < values.size(); k += 1 + static_cast<std::size_t>(problem.integer(0, 4))) {
      const double value = values[k];
      values[k] = value + kStep;
      const double ahead = change(problem, base) / kStep;
      values[k] = value - kStep;
      const double behind = -change(problem, base) / kStep;
      values[k] = value;
      if (std::abs(ahead - behind) > 1e-2) continue;
      EXPECT_NEAR(gradients[i][k], (ahead + behind) / 2, 1e-5 * (1 + std::abs(ahead)))
          << "stream " << i << ", value " << k;
      told += std::abs(ahead) > 1e-6;
    }
  }
  return told;
}

constexpr std::initializer_list<Interp> kWeights = {Interp::hold, Interp::nearest, Interp::linear};
constexpr std::initializer_list<Interp> kCurves = {Interp::pchip, Interp::angle};
constexpr std::initializer_list<Interp> kRotations = {Interp::slerp, Interp::se3, Interp::screw};

class AlignGradient : public testing::TestWithParam<std::initializer_list<Interp>> {};

TEST_P(AlignGradient, IsTheSlopeOfAlign) {
  int told = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Problem problem(seed, GetParam());
    Call call(problem, {});
    const std::vector<double> base = call.align();
    for (std::size_t k = 0; k < base.size(); ++k) {
      if (!std::isfinite(base[k])) problem.grad_out[k] = 0;
    }
    told += expect_slopes(problem, call.gradient(), base);
    if (HasFailure()) break;
  }
  EXPECT_GT(told, 300);
}

TEST_P(AlignGradient, IsTheSameOnEveryDevice) {
  for (unsigned seed = 1000; seed < 1200; ++seed) {
    SCOPED_TRACE(seed);
    const Problem problem(seed, GetParam());
    std::vector<std::vector<double>> first;
    for (const Device device : reference::test_devices()) {
      Call call(problem, device);
      call.align();
      const std::vector<std::vector<double>> gradients = call.gradient();
      if (first.empty()) first = gradients;
      for (std::size_t i = 0; i < first.size(); ++i) {
        // The functions of rotations that leave [0, 1] are the libraries' own.
        const double error = problem.streams[i].interp >= Interp::slerp && problem.streams[i].interp <= Interp::screw;
        for (std::size_t k = 0; k < first[i].size(); ++k) {
          const double a = first[i][k], b = gradients[i][k];
          EXPECT_TRUE(a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= 1e-9 * error * (1 + std::abs(a)))
              << a << " and " << b;
        }
      }
    }
    if (HasFailure()) break;
  }
}

std::string name_of_modes(const testing::TestParamInfo<std::initializer_list<Interp>>& info) {
  const char* const names[] = {"Weights", "Curves", "Rotations"};
  return names[info.index];
}

INSTANTIATE_TEST_SUITE_P(Modes, AlignGradient, testing::Values(kWeights, kCurves, kRotations), name_of_modes);

TEST(AlignGradientCall, LeavesOutWhatIsNotWanted) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const Problem problem(seed, kWeights);
    for (const Device device : reference::test_devices()) {
      Call call(problem, device);
      call.align();
      const auto all = call.gradient();
      const auto some = call.gradient(false);
      EXPECT_TRUE(some[0].empty());
      if (all.size() > 1) {
        EXPECT_EQ(all[1], some[1]);
      }
    }
  }
}

/// bf16 values that all rows of the batch read, with a grad_out that is one number for all of it.
TEST(AlignGradientCall, SumsOverASharedSegmentAndRoundsOnce) {
  for (const Device device : reference::test_devices()) {
    Arrays arrays(device);
    Stream stream;
    stream.values = arrays.make({{3, 2, 1}, {0, 1, 1}, 0, 2}, DType::bf16, [](std::size_t) { return 1; });
    stream.stamps = arrays.list(std::vector<std::int64_t>{0, 100}, DType::i64);
    const ConstTensor at = arrays.list(std::vector<std::int64_t>{1, 2, 3}, DType::i64);
    const ConstTensor grad_out = arrays.make({{3, 3, 1}, {0, 0, 0}, 0, 1}, DType::bf16, [](std::size_t) { return 1; });
    const Tensor gradient = arrays.blank({{3, 2, 1}, {0, 1, 1}, 0, 2}, DType::bf16);
    const reference::Block& block = arrays.last();
    align_gradient({&stream, 1}, at, {&grad_out, 1}, {}, {&gradient, 1}).check();
    const std::vector<std::byte> bytes = block.get();
    // 3 * (0.99 + 0.98 + 0.97) = 8.82 and 3 * 0.06 = 0.18, to 8 bits.
    EXPECT_NEAR(static_cast<double>(reference::load(bytes.data(), DType::bf16)), 8.82, 0.04);
    EXPECT_NEAR(static_cast<double>(reference::load(bytes.data() + 2, DType::bf16)), 0.18, 0.001);
  }
}

TEST(AlignGradientCall, NamesWhatIsWrong) {
  std::vector<float> values(12), grads(12);
  std::vector<std::int64_t> stamps{0, 1, 2}, at{0, 1, 2};
  Stream stream;
  stream.values = ConstTensor{values.data(), DType::f32, {1, 3, 4}};
  stream.stamps = ConstTensor{stamps.data(), DType::i64, {1, 3}};
  const ConstTensor targets{at.data(), DType::i64, {3}};
  const ConstTensor grad_out{values.data(), DType::f32, {1, 3, 4}};
  Tensor gradient{grads.data(), DType::f32, {1, 3, 4}};
  const auto says = [&](const std::string& text) {
    try {
      align_gradient({&stream, 1}, targets, {&grad_out, 1}, {}, {&gradient, 1});
      ADD_FAILURE() << "no error; expected " << text;
    } catch (const InvalidArgument& e) {
      EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
    }
  };
  gradient.strides[1] = 0;
  says("align_gradient: grad_values[0] is expanded (stride 0), expected memory of its own");
  gradient = Tensor{grads.data(), DType::f64, {1, 3, 2}};
  says("align_gradient: grad_values[0]");
  gradient = Tensor{grads.data(), DType::f32, {1, 3, 4}};
  stream.interp = Interp::slerp;
  says("align_gradient: out is not given, expected what align wrote");
  stream.interp = Interp::linear;
  stamps = {0, 2, 1};
  says("align_gradient: streams[0].stamps is decreasing or NaN at row 0, sample 2");
}

}  // namespace
}  // namespace robocache
