#include "robocache/point_operators.hpp"

#include <cuda_runtime_api.h>

#include <initializer_list>

#include "point_operators_case.hpp"
#include "robocache/voxelize_sparse.hpp"

namespace robocache {
namespace {

using namespace point_scenes;

constexpr DType kFloats[] = {DType::f32, DType::f64, DType::f16, DType::bf16};
constexpr Box kBox{{-1, -1.5, -1}, {1, 1.25, 2}};

class PointOperatorsCuda : public cuda_testing::CudaTest {
 protected:
  Arena arena_{std::size_t{1} << 30};
};

Bytes pattern(std::int64_t elements, DType dtype) {
  return Bytes(static_cast<std::size_t>(elements) * size_of(dtype), 0xa5);
}

/// Clouds of none, one and many points, on memory that can be read 16 bytes at a time and on other.
std::vector<Form> forms() {
  std::vector<Form> forms;
  for (const Kind kind : kKinds) {
    for (const DType dtype : kFloats) {
      const std::int64_t clouds = kind == Kind::single ? 1 : 5;
      for (const std::int64_t samples : {0, 1, 33, 1024, 9001}) {
        forms.push_back({.kind = kind, .dtype = dtype, .clouds = clouds, .samples = samples});
      }
      forms.push_back({.kind = kind, .dtype = dtype, .clouds = clouds, .samples = 3000, .pitch = 4});
      forms.push_back({.kind = kind, .dtype = dtype, .clouds = clouds, .samples = 3000, .skew = 1});
      forms.push_back(
          {.kind = kind, .dtype = dtype, .clouds = clouds, .samples = 3000, .each_moves = kind != Kind::single});
    }
    forms.push_back(
        {.kind = kind, .clouds = kind == Kind::single ? 1 : 700, .samples = kind == Kind::packed ? 9000 : 7});
  }
  return forms;
}

TEST_F(PointOperatorsCuda, TransformHasTheBitsOfTheCpu) {
  for (const Form& form : forms()) {
    arena_.reset();
    Scene scene(arena_, form);
    Twin out(arena_, pattern(form.rows() * form.pitch, form.dtype), form.skew * size_of(form.dtype));
    for (const Device where : {Device{}, kGpu}) transform_points(scene.clouds(where), scene.points(out, where));
    out.expect_same(form.dtype, form.text());
    for (const Device where : {Device{}, kGpu}) {
      transform_points(scene.clouds(where), scene.points(scene.memory(), where));
    }
    scene.memory().expect_same(form.dtype, form.text() + " in place");
  }
}

/// With `room` rows for results, of which some are too few, and those behind them are kept.
void compare_crop(Arena& arena, const Form& form, std::int64_t room) {
  arena.reset();
  Scene scene(arena, form);
  Twin points(arena, pattern(3 * room, form.dtype));
  Twin features(arena, pattern(form.columns * room, form.feature_dtype));
  Twin index(arena, pattern(room, DType::i64));
  const std::int64_t ends = scene.form().kind == Kind::single ? 2 : form.clouds + 1;
  Twin offsets(arena, pattern(ends, DType::i64));
  for (const Device where : {Device{}, kGpu}) {
    Cropped cropped{.points = {points.at(where), form.dtype, {room, 3}, where},
                    .index = {index.at(where), DType::i64, {room}, where},
                    .offsets = {offsets.at(where), DType::i64, {ends}, where}};
    if (form.columns > 0) {
      cropped.features = {features.at(where), form.feature_dtype, {room, form.columns}, where};
    }
    crop(scene.clouds(where), kBox, cropped);
  }
  const std::string what = form.text() + " room " + std::to_string(room);
  points.expect_same(form.dtype, what + " points");
  features.expect_same(form.feature_dtype, what + " features");
  index.expect_same(DType::i64, what + " index");
  offsets.expect_same(DType::i64, what + " offsets");
}

TEST_F(PointOperatorsCuda, CropHasTheBitsOfTheCpuAndKeepsToItsRoom) {
  for (Form form : forms()) {
    compare_crop(arena_, form, form.rows());
    form.moves = form.each_moves;
    form.columns = 3;
    compare_crop(arena_, form, form.rows() / 5);
  }
}

TEST_F(PointOperatorsCuda, CropCopiesFeaturesOfAnyWidth) {
  for (const DType dtype : kFloats) {
    for (const std::int64_t columns : {1, 2, 4, 7, 8, 33, 300}) {
      Form form{.kind = Kind::lengths, .clouds = 3, .samples = 2500, .columns = columns, .feature_dtype = dtype};
      compare_crop(arena_, form, form.rows());
    }
  }
}

TEST_F(PointOperatorsCuda, CropLooksBackOverManyBlocks) {
  Form form{.samples = 3'000'001, .columns = 1};
  compare_crop(arena_, form, form.samples);
  form.kind = Kind::packed;
  form.clouds = 100'000;
  form.moves = false;
  compare_crop(arena_, form, 0);
}

TEST_F(PointOperatorsCuda, OffsetsAndLengthsOutOfRangeReadNothingElse) {
  const std::vector<std::int64_t> wrong = {-7, std::int64_t{1} << 40, 2, 3};
  Form form{.kind = Kind::single, .clouds = 3, .samples = 5000};
  Scene scene(arena_, form);
  Twin ends(arena_, bytes_of(wrong));
  Twin out(arena_, pattern(15'000, DType::f32));
  Twin offsets(arena_, pattern(4, DType::i64));
  Clouds clouds = scene.clouds(kGpu);
  clouds.offsets = {ends.at(kGpu), DType::i64, {4}, kGpu};
  transform_points(clouds, scene.points(out, kGpu));
  crop(clouds, kBox, {.offsets = {offsets.at(kGpu), DType::i64, {4}, kGpu}});
  for (std::int64_t kept : to_host(static_cast<std::int64_t*>(offsets.at(kGpu)), 4)) {
    EXPECT_GE(kept, 0);
    EXPECT_LE(kept, 5000);
  }
  clouds.offsets = {};
  clouds.points = {clouds.points.data, DType::f32, {3, 1000, 3}, kGpu};
  clouds.lengths = {ends.at(kGpu), DType::i64, {3}, kGpu};
  transform_points(clouds, {out.at(kGpu), DType::f32, {3, 1000, 3}, kGpu});
  crop(clouds, {}, {.offsets = {offsets.at(kGpu), DType::i64, {4}, kGpu}});
  const auto kept = to_host(static_cast<std::int64_t*>(offsets.at(kGpu)), 4);
  EXPECT_EQ(kept[1], 0);
  EXPECT_GT(kept[2], 800);
  EXPECT_LE(kept[3] - kept[2], 2);
}

/// Depth images of all that can be said of them.
struct DepthForm {
  DType dtype;
  std::int64_t images, height, width;
  bool each;         ///< a camera and a transform for each image
  bool flipped;      ///< columns from the last to the first
  std::size_t skew;  ///< elements of the result
};

void compare_depth(Arena& arena, const DepthForm& form) {
  arena.reset();
  const std::int64_t pixels = form.images * form.height * form.width;
  std::mt19937 random(static_cast<unsigned>(pixels));
  std::vector<double> depths(static_cast<std::size_t>(pixels));
  for (double& v : depths) v = random() % 20 == 0 ? 0 : std::ldexp(static_cast<double>(random() % 4000), -10);
  if (!depths.empty()) depths[depths.size() / 2] = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::uint16_t> millimetres;
  for (double v : depths) millimetres.push_back(filled<std::uint16_t>(1024 * v));
  Twin depth(arena, form.dtype == DType::u16 ? bytes_of(millimetres) : stored(depths, form.dtype));
  std::vector<float> cameras;
  std::vector<double> matrices;
  for (std::int64_t b = 0; b < form.images; ++b) {
    const auto k = static_cast<float>(b);
    cameras.insert(cameras.end(), {525.3F + k, 0, 31.7F, 0, 524.1F, 24.2F - k, 0, 0, 1});
    matrices.insert(matrices.end(), {0.6, -0.8, 0, 0.1 * k, 0.8, 0.6, 0, -2, 0, 0, 1, 0.3, 0, 0, 0, 1});
  }
  Twin intrinsics(arena, bytes_of(cameras));
  Twin transform(arena, bytes_of(matrices));
  const DType result = form.dtype == DType::f64 ? DType::f64 : DType::f32;
  Twin points(arena, pattern(3 * pixels, result), form.skew * size_of(result));
  Twin valid(arena, pattern(pixels, DType::boolean));
  for (const Device where : {Device{}, kGpu}) {
    DepthImages images{.depth = {depth.at(where), form.dtype, {form.images, form.height, form.width}, where},
                       .intrinsics = {intrinsics.at(where), DType::f32, {3, 3}, where},
                       .max_depth_m = 3};
    if (form.each) {
      images.intrinsics = {intrinsics.at(where), DType::f32, {form.images, 3, 3}, where};
      images.transform = {transform.at(where), DType::f64, {form.images, 4, 4}, where};
    }
    if (form.flipped && pixels > 0) {
      images.depth.strides[2] = -1;
      images.depth.data =
          static_cast<const std::uint8_t*>(images.depth.data) + (form.width - 1) * std::int64_t(size_of(form.dtype));
    }
    depth_to_points(images, {points.at(where), result, {form.images, form.height, form.width, 3}, where},
                    form.flipped
                        ? Tensor{}
                        : Tensor{valid.at(where), DType::boolean, {form.images, form.height, form.width}, where});
  }
  const std::string what = std::string(name(form.dtype)) + " " + std::to_string(form.images) + "x" +
                           std::to_string(form.height) + "x" + std::to_string(form.width);
  points.expect_same(result, what);
  valid.expect_same(DType::boolean, what + " valid");
}

TEST_F(PointOperatorsCuda, DepthHasTheBitsOfTheCpu) {
  for (const DType dtype : {DType::u16, DType::f32, DType::f64, DType::f16}) {
    for (const bool each : {false, true}) {
      for (const bool flipped : {false, true}) {
        compare_depth(arena_, {dtype, 3, 48, 640, each, flipped, 0});
        compare_depth(arena_, {dtype, 40, 5, 7, each, flipped, 1});
        compare_depth(arena_, {dtype, 300, 3, 1, each, flipped, 0});
        compare_depth(arena_, {dtype, 1, 1, 1, each, flipped, 0});
        compare_depth(arena_, {dtype, 2, 0, 4, each, flipped, 0});
      }
    }
  }
}

TEST_F(PointOperatorsCuda, WhatDoesNotWaitCanBeCaptured) {
  Form form{.kind = Kind::packed, .clouds = 4, .samples = 20'000};
  Scene first(arena_, form);
  form.columns = 1;  // other numbers
  Scene second(arena_, form);
  Twin moved(arena_, pattern(60'000, DType::f32));
  Twin kept(arena_, pattern(60'000, DType::f32));
  Twin offsets(arena_, pattern(5, DType::i64));
  const auto run = [&](Device where, Scene& scene, cudaStream_t stream) {
    Clouds clouds = first.clouds(where);
    if (where == Device{}) clouds.points = scene.clouds(where).points;
    const Tensor out = first.points(moved, where);
    transform_points(clouds, out, {.stream = stream});
    clouds.points = out;
    crop(clouds, kBox,
         {.points = {kept.at(where), DType::f32, {20'000, 3}, where},
          .offsets = {offsets.at(where), DType::i64, {5}, where}},
         {.stream = stream});
  };
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  run(kGpu, first, stream);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  for (Scene* scene : {&first, &second}) {
    ASSERT_EQ(cudaMemcpy(first.memory().at(kGpu), scene->memory().at(Device{}), 240'000, cudaMemcpyHostToDevice),
              cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    run(Device{}, *scene, nullptr);
    moved.expect_same(DType::f32, "moved");
    offsets.expect_same(DType::i64, "offsets");
    const auto rows = to_host(static_cast<std::int64_t*>(offsets.at(kGpu)), 5)[4];
    EXPECT_GT(rows, 1000);
    const auto count = static_cast<std::size_t>(3 * rows);
    const auto* want = static_cast<const float*>(kept.at(Device{}));
    EXPECT_EQ(to_host(static_cast<float*>(kept.at(kGpu)), count), std::vector<float>(want, want + count));
  }
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

// --- voxel_downsample ----------------------------------------------------------------------------------------------

constexpr double kVoxelM[3] = {0.25, 0.125, 0.5};
constexpr double kOrigin[3] = {0.1, -0.2, 0};

void compare_downsample(Arena& arena, const Form& form) {
  arena.reset();
  Scene scene(arena, form);
  const std::int64_t rows = form.rows();
  const std::int64_t ends = form.kind == Kind::single ? 2 : form.clouds + 1;
  Twin points(arena, pattern(3 * rows, form.dtype));
  Twin features(arena, pattern(form.columns * rows, form.feature_dtype));
  Twin counts(arena, pattern(rows, DType::i32));
  Twin offsets(arena, pattern(ends, DType::i64));
  Twin dropped(arena, pattern(ends - 1, DType::i64));
  for (const Device where : {Device{}, kGpu}) {
    Clouds clouds = scene.clouds(where);
    clouds.transform = {};
    DownsampledCloud out{.points = {points.at(where), form.dtype, {rows, 3}, where},
                         .counts = {counts.at(where), DType::i32, {rows}, where},
                         .offsets = {offsets.at(where), DType::i64, {ends}, where},
                         .dropped = {dropped.at(where), DType::i64, {ends - 1}, where}};
    if (form.kind == Kind::single) out.dropped = {dropped.at(where), DType::i64, {}, where};
    if (form.columns > 0) out.features = {features.at(where), form.feature_dtype, {rows, form.columns}, where};
    voxel_downsample(clouds, kVoxelM, kOrigin, out);
  }
  points.expect_same(form.dtype, form.text() + " points");
  features.expect_same(form.feature_dtype, form.text() + " features");
  counts.expect_same(DType::i32, form.text() + " counts");
  offsets.expect_same(DType::i64, form.text() + " offsets");
  dropped.expect_same(DType::i64, form.text() + " dropped");
}

TEST_F(PointOperatorsCuda, DownsamplingHasTheBitsOfTheCpu) {
  for (Form form : forms()) {
    form.columns = form.samples % 2 == 0 ? 2 : 0;
    compare_downsample(arena_, form);
  }
}

std::string refusal(const Clouds& clouds, const Context& ctx = {}) {
  try {
    voxel_downsample(clouds, kVoxelM, kOrigin, {}, ctx);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST_F(PointOperatorsCuda, DownsamplingRefusesWhatTheCpuDoesAndCapture) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const auto& [numbers, says] : {std::pair{std::vector<float>{0, 0, 0, 0, 5e6F, 0}, true},
                                      std::pair{std::vector<float>{-2e6F, 0, 0, 3e6F, 1, 2}, true},
                                      std::pair{std::vector<float>{inf, 0, 0, 0, -inf, 0}, false}}) {
    Twin points(arena_, bytes_of(numbers));
    const auto of = [&](Device where) { return Clouds{.points = {points.at(where), DType::f32, {2, 3}, where}}; };
    EXPECT_EQ(refusal(of(kGpu)), refusal(of(Device{})));
    EXPECT_EQ(!refusal(of(kGpu)).empty(), says);
  }
  Twin points(arena_, Bytes(24));
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_NE(
      refusal({.points = {points.at(kGpu), DType::f32, {2, 3}, kGpu}}, {.stream = stream}).find("is being captured"),
      std::string::npos);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace robocache
