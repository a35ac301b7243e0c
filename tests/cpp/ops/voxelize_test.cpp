#include "robocache/voxelize.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "align_arrays.hpp"
#include "robocache/voxelize_gradient.hpp"

namespace robocache {
namespace {

using namespace robocache::reference;

/// [..] numbers of JSON, as an array of `dtype`.
Tensor array(Arrays& arrays, const Json& json, std::vector<std::int64_t> tail, bool lead, DType dtype) {
  std::vector<std::int64_t> sizes = std::move(tail);
  const std::vector<const Json*> leaves = detail::leaves_of(json);
  std::int64_t known = 1;
  if (lead) sizes.insert(sizes.begin(), static_cast<std::int64_t>(json.list().size()));
  for (std::int64_t size : sizes) known *= size == -1 ? 1 : size;
  for (std::int64_t& size : sizes) {
    if (size == -1) size = known == 0 ? 0 : static_cast<std::int64_t>(leaves.size()) / known;
  }
  Layout l{sizes, std::vector<std::int64_t>(sizes.size()), 0, static_cast<std::int64_t>(leaves.size())};
  std::int64_t stride = 1;
  for (std::size_t i = sizes.size(); i-- > 0; stride *= sizes[i]) l.strides[i] = stride;
  return arrays.make(l, dtype, [&](std::size_t i) { return leaves[i]->real(); });
}

/// One case of tests/cases/voxelize.json on a device.
class CaseCall {
 public:
  CaseCall(const Json& c, Device device) : case_(c), arrays_(device) {
    batched_ = c.has("lengths") || c.has("offsets");
    const DType dtype = c.text_or("dtype", "float32") == "float64" ? DType::f64 : DType::f32;
    const bool padded = c.has("lengths");
    clouds_.points = array(arrays_, c["points"],
                           padded ? std::vector<std::int64_t>{-1, 3} : std::vector<std::int64_t>{3}, true, dtype);
    if (c.has("features")) clouds_.features = array(arrays_, c["features"], {-1}, true, DType::f32);
    if (clouds_.features.rank == 2 && clouds_.features.shape[0] == 0) clouds_.features.shape[1] = 1;
    if (padded) clouds_.lengths = array(arrays_, c["lengths"], {}, true, DType::i32);
    if (c.has("offsets")) clouds_.offsets = array(arrays_, c["offsets"], {}, true, DType::i64);
    if (c.has("transform")) clouds_.transform = array(arrays_, c["transform"], {4}, true, DType::f32);
    for (std::size_t i = 0; i < 3; ++i) {
      grid_.voxel_m[i] = static_cast<double>(c["voxel_m"].list()[i].real());
      grid_.origin[i] = static_cast<double>(c["origin"].list()[i].real());
      grid_.shape[i] = c["shape"].list()[i].integer();
    }
    batch_ = static_cast<std::int64_t>(c["dropped"].list().size());
  }

  void expect(Reduce reduce) {
    std::vector<std::int64_t> sizes(std::begin(grid_.shape), std::end(grid_.shape));
    if (reduce == Reduce::occupancy_bits) sizes.back() = (sizes.back() + 7) / 8;
    if (reduce >= Reduce::sum) sizes.push_back(clouds_.features.shape[1]);
    if (batched_) sizes.insert(sizes.begin(), batch_);
    const Tensor out = blank(sizes, dtype_of(reduce));
    const Tensor dropped = blank(batched_ ? std::vector{batch_} : std::vector<std::int64_t>{}, DType::i64);
    const double empty = case_.has("empty") ? static_cast<double>(case_["empty"].real()) : 0;
    const Voxels voxels[] = {{reduce, out, empty}};
    voxelize(clouds_, grid_, voxels, dropped);
    same(out, case_["expect"][name(reduce)]);
    same(dropped, case_["dropped"]);
  }

 private:
  static DType dtype_of(Reduce reduce) {
    if (reduce == Reduce::count) return DType::i32;
    if (reduce == Reduce::occupancy) return DType::boolean;
    return reduce == Reduce::occupancy_bits ? DType::u8 : DType::f32;
  }

  Tensor blank(const std::vector<std::int64_t>& sizes, DType dtype) {
    Layout l{sizes, std::vector<std::int64_t>(sizes.size()), 0, 1};
    std::int64_t stride = 1;
    for (std::size_t i = sizes.size(); i-- > 0; stride *= sizes[i]) l.strides[i] = stride;
    l.elements = stride + 3;  // On CUDA the words that hold bits are rewritten whole.
    return arrays_.make(l, dtype, [](std::size_t) { return Real{1}; });
  }

  void same(const Tensor& got, const Json& want) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(got.numel()) * size_of(got.dtype));
    copy_bytes(bytes.data(), got.data, bytes.size(), got.device);
    const std::vector<const Json*> leaves = detail::leaves_of(want);
    ASSERT_EQ(got.numel(), static_cast<std::int64_t>(leaves.size()));
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      const Real value = load(bytes.data() + i * size_of(got.dtype), got.dtype);
      if (std::isnan(leaves[i]->real())) {
        EXPECT_TRUE(std::isnan(value)) << i;
      } else {
        EXPECT_EQ(value, leaves[i]->real()) << i;
      }
    }
  }

  const Json& case_;
  Arrays arrays_;
  Clouds clouds_;
  VoxelGrid grid_;
  std::int64_t batch_ = 1;
  bool batched_ = false;
};

constexpr Reduce kReductions[] = {Reduce::count, Reduce::occupancy, Reduce::occupancy_bits, Reduce::sum, Reduce::mean,
                                  Reduce::min,   Reduce::max,       Reduce::first,          Reduce::last};

class VoxelizePoolDevices : public testing::TestWithParam<Device> {};

TEST_P(VoxelizePoolDevices, AnswersLikeTheTable) {
  const Json table = Json::read_file(ROBOCACHE_TEST_CASES "/voxelize.json");
  int expected = 0;
  for (const Json& c : table["explicit"].list()) {
    SCOPED_TRACE(c["name"].text());
    for (Reduce reduce : kReductions) {
      if (!c["expect"].has(name(reduce))) continue;
      SCOPED_TRACE(name(reduce));
      CaseCall(c, GetParam()).expect(reduce);
      ++expected;
    }
  }
  EXPECT_GE(expected, 13);
}

std::vector<Device> devices() {
  std::vector<Device> all{Device{}};
  if (cuda_device_count() > 0) all.push_back({DeviceKind::cuda, 0});
  return all;
}

std::string on_device(const testing::TestParamInfo<Device>& info) {
  return info.param.kind == DeviceKind::cuda ? "cuda" : "cpu";
}

INSTANTIATE_TEST_SUITE_P(Devices, VoxelizePoolDevices, testing::ValuesIn(devices()), on_device);

/// Random points with features, several chunks of them and several tiles.
struct Scene {
  std::int64_t n = 60'000, columns = 2;
  VoxelGrid grid{{-1, -1, -1}, {0.025, 0.025, 0.025}, {80, 70, 90}};
  std::vector<float> points = std::vector<float>(static_cast<std::size_t>(n) * 3);
  std::vector<float> features = std::vector<float>(static_cast<std::size_t>(n * columns));

  Scene() {
    std::mt19937 random(7);
    std::normal_distribution<float> some(0, 0.3F);
    for (float& v : points) v = some(random);
    for (float& v : features) v = some(random);
  }

  [[nodiscard]] std::vector<float> mean(const Context& ctx) const {
    std::vector<float> out(static_cast<std::size_t>(80 * 70 * 90 * columns));
    const Voxels voxels[] = {{Reduce::mean, Tensor{out.data(), DType::f32, {80, 70, 90, columns}}, -1}};
    voxelize({.points = {points.data(), DType::f32, {n, 3}}, .features = {features.data(), DType::f32, {n, columns}}},
             grid, voxels, {}, ctx);
    return out;
  }
};

TEST(VoxelizePool, AnyNumberOfThreadsGivesTheSameBits) {
  const Scene scene;
  const std::vector<float> one = scene.mean({.threads = 1});
  for (int threads : {2, 3, 8}) EXPECT_EQ(scene.mean({.threads = threads}), one) << threads;
}

TEST(VoxelizePool, AnyNumberOfThreadsGivesTheSameGradient) {
  const Scene scene;
  const std::vector<float> grad_out(static_cast<std::size_t>(80 * 70 * 90 * scene.columns), 0.3F);
  const ConstTensor by{grad_out.data(), DType::f32, {80, 70, 90, scene.columns}};
  const VoxelGradient gradients[] = {{Reduce::mean, by}, {Reduce::max, by}};
  const auto gradient = [&](int threads) {
    std::vector<float> out(scene.features.size(), 7);
    voxelize_gradient({.points = {scene.points.data(), DType::f32, {scene.n, 3}},
                       .features = {scene.features.data(), DType::f32, {scene.n, scene.columns}}},
                      scene.grid, gradients, {out.data(), DType::f32, {scene.n, scene.columns}}, {.threads = threads});
    return out;
  };
  const std::vector<float> one = gradient(1);
  for (int threads : {2, 3, 8}) EXPECT_EQ(gradient(threads), one) << threads;
}

TEST(Voxelize, NamesWhatIsWrong) {
  std::vector<float> points(12);
  std::vector<std::int32_t> counts(8);
  const Clouds clouds{.points = {points.data(), DType::f32, {4, 3}}};
  const VoxelGrid grid{{0, 0, 0}, {1, 1, 1}, {2, 2, 2}};
  const auto text = [&](const Clouds& c, const VoxelGrid& g, Reduce reduce, const Tensor& out) -> std::string {
    try {
      const Voxels voxels[] = {{reduce, out}};
      voxelize(c, g, voxels, {});
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "";
  };
  const Tensor out{counts.data(), DType::i32, {2, 2, 2}};
  EXPECT_EQ(text(clouds, grid, Reduce::count, out), "");
  EXPECT_EQ(text(clouds, grid, Reduce::count, {counts.data(), DType::i32, {8}}),
            "voxelize: voxels[0].out is [8], expected [2, 2, 2]");
  EXPECT_EQ(text(clouds, grid, Reduce::count, {counts.data(), DType::f32, {2, 2, 2}}),
            "voxelize: voxels[0].out is float32, expected int32");
  EXPECT_EQ(
      text(clouds, grid, Reduce::mean, out),
      "voxelize: features is not given, expected an array as points, with F columns; count and occupancy need none");
  Tensor strided = out;
  strided.strides[1] = 4;
  EXPECT_EQ(text(clouds, grid, Reduce::count, strided), "voxelize: voxels[0].out is strided, expected contiguous");
  VoxelGrid flat = grid;
  flat.voxel_m[1] = -1;
  EXPECT_EQ(text(clouds, flat, Reduce::count, out),
            "voxelize: voxel_m is -1 along y, expected 1.2e-38 to 8.5e37 metres");
}

/// Nothing is read, and no device needed, before this is refused.
TEST(Voxelize, HasALimitOfColumnsOnCuda) {
  const Device cuda{DeviceKind::cuda, 0};
  float value = 0;
  const std::int64_t columns = (std::int64_t{1} << 24) + 1;
  const ConstTensor points{&value, DType::f32, {1, 3}, cuda};
  const Voxels voxels[] = {{Reduce::mean, Tensor{&value, DType::f32, {1, 1, 1, columns}, cuda}, 0}};
  try {
    voxelize({.points = points, .features = {&value, DType::f32, {1, columns}, cuda}},
             {{0, 0, 0}, {1, 1, 1}, {1, 1, 1}}, voxels, {});
    ADD_FAILURE() << "no error";
  } catch (const Unsupported& error) {
    EXPECT_STREQ(error.what(), "voxelize: features is of 16777217 columns, expected at most 2^24 on CUDA");
  }
}

}  // namespace
}  // namespace robocache
