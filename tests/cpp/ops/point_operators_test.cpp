#include "robocache/point_operators.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "align_arrays.hpp"
#include "core/isa.hpp"
#include "kernels/point_operators.hpp"

namespace robocache {
namespace {

using namespace robocache::reference;

/// Numbers of JSON with their own shape, which an empty list does not have.
struct Numbers {
  std::vector<std::int64_t> sizes;
  std::vector<double> values;

  Numbers(const Json& json, std::vector<std::int64_t> if_empty) {
    for (const Json* leaf : detail::leaves_of(json)) values.push_back(static_cast<double>(leaf->real()));
    const Json* at = &json;
    while (at->is_list() && !at->list().empty()) {
      sizes.push_back(static_cast<std::int64_t>(at->list().size()));
      at = &at->list()[0];
    }
    if (values.empty()) sizes = std::move(if_empty);
  }

  [[nodiscard]] Layout layout() const {
    Layout l{sizes, std::vector<std::int64_t>(sizes.size()), 0, 1};
    for (std::size_t i = sizes.size(); i-- > 0; l.elements *= sizes[i]) l.strides[i] = l.elements;
    return l;
  }
};

/// Arrays of a case of tests/cases/point_operators.json.
class Case {
 public:
  explicit Case(const Json& c) : case_(c) {}

  Tensor array(const char* name, DType dtype, std::vector<std::int64_t> if_empty = {0}) {
    if (!case_.has(name)) return {};
    const Numbers given(case_[name], std::move(if_empty));
    return arrays_.make(given.layout(), dtype, [&](std::size_t i) { return Real{given.values[i]}; });
  }

  Clouds clouds() {
    return {.points = array("points", DType::f32, {0, 3}),
            .features = array("features", DType::f32),
            .lengths = array("lengths", DType::i32),
            .offsets = array("offsets", DType::i64),
            .transform = array("transform", DType::f32)};
  }

  Tensor blank(std::vector<std::int64_t> sizes, DType dtype) {
    Layout l{std::move(sizes), {}, 0, 1};
    l.strides.resize(l.sizes.size());
    for (std::size_t i = l.sizes.size(); i-- > 0; l.elements *= l.sizes[i]) l.strides[i] = l.elements;
    return arrays_.blank(l, dtype);
  }

  static void same(const Tensor& got, const Json& want) {
    const Numbers numbers(want, {});
    ASSERT_EQ(got.numel(), static_cast<std::int64_t>(numbers.values.size()));
    for (std::size_t i = 0; i < numbers.values.size(); ++i) {
      const auto value = load(static_cast<const std::byte*>(got.data) + i * size_of(got.dtype), got.dtype);
      if (std::isnan(numbers.values[i])) {
        EXPECT_TRUE(std::isnan(value)) << i;
      } else {
        EXPECT_FLOAT_EQ(static_cast<float>(value), static_cast<float>(numbers.values[i])) << i;
      }
    }
  }

 private:
  const Json& case_;
  Arrays arrays_{Device{}};
};

Json table() { return Json::read_file(ROBOCACHE_TEST_CASES "/point_operators.json"); }

TEST(PointOperatorsPool, TransformAnswersLikeTheTable) {
  const Json cases = table();
  for (const Json& c : cases["transform_points"].list()) {
    SCOPED_TRACE(c["name"].text());
    Case arrays(c);
    const Clouds clouds = arrays.clouds();
    const auto sizes = clouds.points.sizes();
    const Tensor out = arrays.blank({sizes.begin(), sizes.end()}, DType::f32);
    transform_points(clouds, out);
    Case::same(out, c["expect"]);
  }
}

TEST(PointOperatorsPool, CropAnswersLikeTheTable) {
  const Json cases = table();
  for (const Json& c : cases["crop"].list()) {
    SCOPED_TRACE(c["name"].text());
    Case arrays(c);
    const Clouds clouds = arrays.clouds();
    Box box;
    for (std::size_t i = 0; i < 3; ++i) {
      box.low[i] = static_cast<double>(c["low"].list()[i].real());
      box.high[i] = static_cast<double>(c["high"].list()[i].real());
    }
    const auto kept = static_cast<std::int64_t>(c["expect"]["index"].list().size());
    const auto ends = static_cast<std::int64_t>(c["expect"]["offsets"].list().size());
    Cropped cropped{.offsets = arrays.blank({ends}, DType::i64)};
    crop(clouds, box, cropped);
    Case::same(cropped.offsets, c["expect"]["offsets"]);
    cropped.points = arrays.blank({kept, 3}, DType::f32);
    cropped.index = arrays.blank({kept}, DType::i64);
    if (clouds.features.given()) cropped.features = arrays.blank({kept, clouds.features.shape[1]}, DType::f32);
    crop(clouds, box, cropped);
    Case::same(cropped.index, c["expect"]["index"]);
    if (c["expect"].has("points")) Case::same(cropped.points, c["expect"]["points"]);
    if (c["expect"].has("features")) Case::same(cropped.features, c["expect"]["features"]);
  }
}

TEST(PointOperatorsPool, DepthAnswersLikeTheTable) {
  const Json cases = table();
  for (const Json& c : cases["depth_to_points"].list()) {
    SCOPED_TRACE(c["name"].text());
    Case arrays(c);
    DepthImages images{
        .depth = arrays.array("depth", c.text_or("dtype", "float32") == "uint16" ? DType::u16 : DType::f32),
        .intrinsics = arrays.array("intrinsics", DType::f64),
        .transform = arrays.array("transform", DType::f64)};
    if (c.has("depth_scale")) images.depth_scale = static_cast<double>(c["depth_scale"].real());
    if (c.has("max_depth_m")) images.max_depth_m = static_cast<double>(c["max_depth_m"].real());
    std::vector<std::int64_t> sizes(images.depth.sizes().begin(), images.depth.sizes().end());
    sizes.push_back(3);
    const Tensor points = arrays.blank(sizes, DType::f32);
    depth_to_points(images, points, {});
    Case::same(points, c["expect"]);
  }
}

/// A cloud of several pieces.
struct Cloud {
  static constexpr std::int64_t n = 30'000;
  std::vector<float> points = std::vector<float>(3 * n);

  Cloud() {
    std::mt19937 random(7);
    std::uniform_real_distribution<float> some(-1, 1);
    for (float& v : points) v = some(random);
  }

  [[nodiscard]] Clouds clouds() const { return {.points = {points.data(), DType::f32, {n, 3}}}; }
};

constexpr Box kBox{{-0.5, -0.5, -0.5}, {0.5, 0.5, 0.5}};

TEST(PointOperatorsPool, AnyNumberOfThreadsKeepsTheSamePoints) {
  const Cloud cloud;
  const auto index = [&](int threads) {
    std::vector<std::int64_t> rows(Cloud::n, -1), offsets(2);
    const Cropped cropped{.index = {rows.data(), DType::i64, {Cloud::n}}, .offsets = {offsets.data(), DType::i64, {2}}};
    crop(cloud.clouds(), kBox, cropped, {.threads = threads});
    EXPECT_GT(offsets[1], 3000);
    EXPECT_EQ(rows[static_cast<std::size_t>(offsets[1])], -1);
    return rows;
  };
  const std::vector<std::int64_t> one = index(1);
  for (int threads : {2, 5}) EXPECT_EQ(index(threads), one) << threads;
}

TEST(PointOperatorsPool, MorePointsThanThereIsRoomForAreCounted) {
  const Cloud cloud;
  std::vector<std::int64_t> all(Cloud::n), rows(10, -1), offsets(2);
  Cropped cropped{.index = {all.data(), DType::i64, {Cloud::n}}, .offsets = {offsets.data(), DType::i64, {2}}};
  crop(cloud.clouds(), kBox, cropped);
  const std::int64_t kept = offsets[1];
  cropped.index = {rows.data(), DType::i64, {7}};
  crop(cloud.clouds(), kBox, cropped);
  EXPECT_EQ(offsets[1], kept);
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], i < 7 ? all[i] : -1);
}

class PointOperatorsLevels : public testing::TestWithParam<Isa> {};

TEST_P(PointOperatorsLevels, GivesTheBitsOfTheBaseline) {
  if (GetParam() > active_isa()) GTEST_SKIP() << "not on this processor";
  const Cloud cloud;
  std::vector<double> matrix = {0.6, -0.8, 0, 0.1, 0.8, 0.6, 0, -2, 0, 0, 1, 0.3, 0, 0, 0, 1};
  const auto moved = [&](Isa level) {
    std::vector<float> out(3 * Cloud::n);
    TransformPointsArgs args;
    args.out = out.data();
    args.out_row = 3;
    args.clouds.points = {cloud.points.data(), DType::f32, 0, 3, 1};
    args.clouds.transforms = {matrix.data(), true, 0, 4, 1};
    args.clouds.samples = Cloud::n;
    visit(level, BuiltIsas{}, [&]<Isa isa>() { cpu::transform_points<isa>(args, {}); });
    return out;
  };
  EXPECT_EQ(moved(GetParam()), moved(Isa::baseline));
}

INSTANTIATE_TEST_SUITE_P(Isas, PointOperatorsLevels, testing::Values(Isa::avx2, Isa::avx512),
                         [](const auto& level) { return std::string(name(level.param)); });

template <class Error, class Run>
std::string text_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(PointOperators, NameWhatIsWrong) {
  std::vector<float> numbers(48);
  std::vector<std::int64_t> offsets(2);
  const Clouds clouds{.points = {numbers.data(), DType::f32, {4, 3}}};
  const Tensor ends{offsets.data(), DType::i64, {2}};
  const auto cropping = [&](const Box& box, const Cropped& cropped) {
    return text_of<InvalidArgument>([&] { crop(clouds, box, cropped); });
  };
  EXPECT_EQ(cropping({}, {.offsets = ends}), "");
  EXPECT_EQ(cropping({}, {}), "crop: out.offsets is [], expected [2]");
  EXPECT_EQ(cropping({{0, 0, 0}, {1, -1, 1}}, {.offsets = ends}),
            "crop: high is -1 along y, expected at least low, which is 0");
  EXPECT_EQ(cropping({}, {.points = {numbers.data(), DType::f32, {4, 3}},
                          .index = {offsets.data(), DType::i64, {2}},
                          .offsets = ends}),
            "crop: out.index is [2], expected [K=4]");
  EXPECT_EQ(cropping({}, {.features = {numbers.data(), DType::f32, {4, 1}}, .offsets = ends}),
            "crop: features is not given, expected an array as points, with F columns; out.features is");
  EXPECT_EQ(text_of<InvalidArgument>([&] { transform_points(clouds, Tensor{numbers.data(), DType::f32, {4, 3}}); }),
            "transform_points: transform is not given, expected [4, 4] or [B, 4, 4]");
}

TEST(PointOperators, RefuseArraysOfTwoDevices) {
  const Device gpu{DeviceKind::cuda, 0};
  const ConstTensor points{nullptr, DType::f32, {4, 3}, gpu};
  std::vector<double> matrix(16);
  EXPECT_EQ(text_of<InvalidArgument>(
                [&] { transform_points({.points = points, .transform = {matrix.data(), DType::f64, {4, 4}}}, {}); }),
            "transform_points: transform is on cpu, expected cuda:0; all arrays must share a device");
}

}  // namespace
}  // namespace robocache
