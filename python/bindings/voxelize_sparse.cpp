#include "robocache/voxelize_sparse.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "memory/buffer.hpp"
#include "voxelize_arguments.hpp"
#include "voxelize_sparse_doc.hpp"

namespace robocache::python {

namespace {

const char* const kSparse = "voxelize_sparse";
const char* const kDownsample = "voxel_downsample";

/// Both at least 0; where the product is too large, more than any memory has.
std::int64_t product(std::int64_t a, std::int64_t b) {
  std::int64_t all = 0;
  return __builtin_mul_overflow(a, b, &all) ? std::numeric_limits<std::int64_t>::max() : all;
}

/// Rows of a result whose number is known only when they are written: room for as many as there can be, of which the
/// array gets its own copy.
class Rows {
 public:
  Rows(const PointsCall& call, Device device, std::int64_t capacity, std::int64_t columns, DType dtype)
      : row_bytes_(static_cast<std::size_t>(product(columns, static_cast<std::int64_t>(size_of(dtype))))),
        columns_(columns),
        buffer_(device.kind == DeviceKind::cpu ? host_memory() : device_memory(device.index),
                static_cast<std::size_t>(product(capacity, static_cast<std::int64_t>(row_bytes_))), call.stream()),
        view_(buffer_.data(), dtype, {capacity, columns}, device) {}

  [[nodiscard]] const Tensor& view() const { return view_; }
  /// The same with the columns as several axes.
  [[nodiscard]] Tensor view(std::initializer_list<std::int64_t> shape) const {
    return {buffer_.data(), view_.dtype, shape, view_.device};
  }
  /// Without columns.
  [[nodiscard]] Tensor flat() const { return {buffer_.data(), view_.dtype, {view_.shape[0]}, view_.device}; }

  [[nodiscard]] nb::object array(const PointsCall& call, std::int64_t rows, bool flat = false) const {
    std::vector<std::int64_t> shape{rows};
    if (!flat) shape.push_back(columns_);
    return array(call, shape);
  }

  /// `shape` begins with the rows.
  [[nodiscard]] nb::object array(const PointsCall& call, const std::vector<std::int64_t>& shape) const {
    const std::int64_t rows = shape[0];
    nb::object array;
    const Tensor out = call.make(shape, view_.dtype, view_.device, array);
    copy(call, out.data, buffer_.data(), static_cast<std::size_t>(rows) * row_bytes_, view_.device);
    wait_if_unordered(call, view_.device);
    call.hand_over(array);
    return array;
  }

 private:
  std::size_t row_bytes_;
  std::int64_t columns_;
  Buffer buffer_;
  Tensor view_;
};

std::int64_t columns_of(const ConstTensor& features) {
  return features.rank > 0 ? features.shape[features.rank - 1] : 0;
}

/// Points with and without a place in a cloud.
std::int64_t point_count(const ConstTensor& points) {
  std::int64_t count = 1;
  for (int i = 0; i + 1 < points.rank; ++i) count *= points.shape[i];
  return count;
}

std::int64_t cloud_count(const Clouds& clouds) {
  if (!clouds.offsets.given()) return clouds.points.rank == 3 ? clouds.points.shape[0] : 1;
  return clouds.offsets.rank > 0 ? std::max<std::int64_t>(clouds.offsets.shape[0] - 1, 0) : 0;
}

/// How many voxels there can be.
std::int64_t most_voxels(const Clouds& clouds, std::optional<std::int64_t> max_voxels) {
  const std::int64_t points = point_count(clouds.points);
  const std::int64_t kept = max_voxels.value_or(kKeepAll);
  return kept > 0 ? std::min(points, product(cloud_count(clouds), kept)) : points;
}

/// What each call has: offsets of the voxels of each cloud, and the points dropped.
struct Totals {
  nb::object offsets, dropped;
  Tensor offsets_view, dropped_view;

  Totals(const PointsCall& call, const Clouds& clouds) {
    const std::int64_t batch = cloud_count(clouds);
    const std::int64_t ends[] = {batch + 1};
    const std::size_t axes = clouds.offsets.given() || clouds.points.rank == 3 ? 1 : 0;
    offsets_view = call.make(ends, DType::i64, clouds.points.device, offsets);
    dropped_view = call.make({&batch, axes}, DType::i64, clouds.points.device, dropped);
  }

  /// Waits for the device.
  [[nodiscard]] std::int64_t voxels(const PointsCall& call) const { return last_of(call, offsets_view); }

  void hand_over(const PointsCall& call) {
    call.hand_over(offsets);
    call.hand_over(dropped);
  }
};

struct SparseResult {
  std::vector<std::string> names;
  std::vector<nb::object> arrays;
  nb::object coords, counts, offsets, dropped, points, inverse;

  [[nodiscard]] bool has(const nb::object& name) const { return contains(names, name); }

  [[nodiscard]] nb::object at(const std::string& name) const {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) throw nb::key_error(name.c_str());
    return arrays[static_cast<std::size_t>(found - names.begin())];
  }
};

SparseResult voxelize_sparse_arrays(const nb::object& points, const nb::object& features, const nb::object& voxel_m,
                                    const nb::object& origin, const nb::object& shape, const nb::object& reduce,
                                    bool inverse, bool point_lists, std::optional<std::int64_t> max_points,
                                    std::optional<std::int64_t> max_voxels, const nb::object& lengths,
                                    const nb::object& offsets, const nb::object& transform) {
  SparseResult result;
  result.names = reduction_names(kSparse, reduce);
  const VoxelGrid grid = to_grid(kSparse, voxel_m, origin, shape);
  PointsCall call(kSparse, points);
  Clouds clouds = call.borrow_clouds(points, features, lengths, offsets, transform);
  if (!result.names.empty() || point_lists) clouds.features = or_points(kSparse, clouds.features, clouds);
  const std::int64_t capacity = most_voxels(clouds, max_voxels);
  const Device device = clouds.points.device;
  const Rows coords(call, device, capacity, 4, DType::i32);
  const Rows counts(call, device, capacity, 1, DType::i32);
  std::deque<Rows> rows;
  std::vector<SparseReduction> reductions;
  for (const std::string& name : result.names) {
    rows.emplace_back(call, device, capacity, columns_of(clouds.features), clouds.features.dtype);
    reductions.push_back({to_reduce(kSparse, name), rows.back().view()});
  }
  const std::int64_t columns = columns_of(clouds.features);
  const std::int64_t listed = point_lists ? std::max<std::int64_t>(max_points.value_or(0), 0) : 0;
  const Rows lists(call, device, listed > 0 ? capacity : 0, product(listed, columns), clouds.features.dtype);
  Totals totals(call, clouds);
  Tensor inverse_view;
  if (inverse) {
    const std::span<const std::int64_t> sizes = clouds.points.sizes();
    inverse_view =
        call.make(sizes.first(sizes.empty() ? 0 : sizes.size() - 1), DType::i64, clouds.points.device, result.inverse);
  }
  {
    const nb::gil_scoped_release release;
    voxelize_sparse(clouds, grid, {max_points.value_or(kKeepAll), max_voxels.value_or(kKeepAll)},
                    {.coords = coords.view(),
                     .counts = counts.flat(),
                     .reductions = reductions,
                     .points = point_lists ? lists.view({capacity, listed, columns}) : Tensor{},
                     .inverse = inverse_view,
                     .offsets = totals.offsets_view,
                     .dropped = totals.dropped_view},
                    {.stream = call.stream()});
  }
  const std::int64_t voxels = totals.voxels(call);
  result.coords = coords.array(call, voxels);
  result.counts = counts.array(call, voxels, true);
  for (const Rows& reduced : rows) result.arrays.push_back(reduced.array(call, voxels));
  result.points = point_lists ? lists.array(call, {voxels, listed, columns}) : nb::none();
  if (inverse) {
    call.hand_over(result.inverse);
  } else {
    result.inverse = nb::none();
  }
  totals.hand_over(call);
  result.offsets = totals.offsets;
  result.dropped = totals.dropped;
  return result;
}

struct DownsampleResult {
  nb::object points, features, counts, offsets, dropped;
};

DownsampleResult voxel_downsample_arrays(const nb::object& points, const nb::object& voxel_m,
                                         const nb::object& features, const nb::object& origin,
                                         const nb::object& lengths, const nb::object& offsets) {
  VoxelGrid grid;
  to_voxel_m(kDownsample, voxel_m, grid.voxel_m);
  if (!origin.is_none()) to_three(kDownsample, "origin", origin, "3 numbers", grid.origin);
  PointsCall call(kDownsample, points);
  const Clouds clouds = call.borrow_clouds(points, features, lengths, offsets, nb::none());
  const std::int64_t capacity = point_count(clouds.points);
  const Device device = clouds.points.device;
  const Rows means(call, device, capacity, 3, clouds.points.dtype);
  const Rows feature_means(call, device, capacity, columns_of(clouds.features), clouds.features.dtype);
  const Rows counts(call, device, capacity, 1, DType::i32);
  Totals totals(call, clouds);
  {
    const nb::gil_scoped_release release;
    voxel_downsample(clouds, grid.voxel_m, grid.origin,
                     {means.view(), clouds.features.given() ? feature_means.view() : Tensor{}, counts.flat(),
                      totals.offsets_view, totals.dropped_view},
                     {.stream = call.stream()});
  }
  const std::int64_t voxels = totals.voxels(call);
  totals.hand_over(call);
  return {means.array(call, voxels), clouds.features.given() ? feature_means.array(call, voxels) : nb::none(),
          counts.array(call, voxels, true), totals.offsets, totals.dropped};
}

}  // namespace

void bind_voxelize_sparse(nb::module_& m) {
  using nb::for_getter;
  nb::class_<SparseResult>(m, "VoxelizeSparseResult", kVoxelizeSparseResultDoc)
      .def_ro("coords", &SparseResult::coords, for_getter(nb::sig("def coords(self) -> typing.Any")),
              "int32 array [M, 4]: cloud, x, y, z of each occupied voxel, sorted.")
      .def_ro("counts", &SparseResult::counts, for_getter(nb::sig("def counts(self) -> typing.Any")),
              "int32 array [M]: kept points.")
      .def_ro("offsets", &SparseResult::offsets, for_getter(nb::sig("def offsets(self) -> typing.Any")),
              "int64 array [B+1]: cloud b has voxels offsets[b] .. offsets[b+1]-1.")
      .def_ro("dropped", &SparseResult::dropped, for_getter(nb::sig("def dropped(self) -> typing.Any")),
              "int64 array [B] or []: points of each cloud that no voxel has kept.")
      .def_ro("points", &SparseResult::points, for_getter(nb::sig("def points(self) -> typing.Any")),
              "Array [M, P, F]: features of each voxel's kept points, then zeros; None where they were not asked for.")
      .def_ro("inverse", &SparseResult::inverse, for_getter(nb::sig("def inverse(self) -> typing.Any")),
              "int64 array [N] or [B, N]: the row of each point's voxel, or -1; None where it was not asked for.")
      .def_ro("reductions", &SparseResult::names, for_getter(nb::sig("def reductions(self) -> list[str]")),
              "What was asked for.")
      .def("__getitem__", &SparseResult::at, nb::arg("reduction"),
           nb::sig("def __getitem__(self, reduction: str) -> typing.Any"), "The result [M, F] of one reduction.")
      .def("__contains__", &SparseResult::has, nb::arg("reduction"),
           nb::sig("def __contains__(self, reduction: object) -> bool"), "Whether it was asked for.");
  m.def(kSparse, &voxelize_sparse_arrays, nb::arg("points"), nb::arg("features") = nb::none(), nb::kw_only(),
        nb::arg("voxel_m"), nb::arg("origin"), nb::arg("shape"), nb::arg("reduce") = nb::make_tuple("mean"),
        nb::arg("inverse") = false, nb::arg("point_lists") = false, nb::arg("max_points") = nb::none(),
        nb::arg("max_voxels") = nb::none(), nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(),
        nb::arg("transform") = nb::none(), nb::sig(kVoxelizeSparseSignature), kVoxelizeSparseDoc);
  nb::class_<DownsampleResult>(m, "VoxelDownsampleResult", kVoxelDownsampleResultDoc)
      .def_ro("points", &DownsampleResult::points, for_getter(nb::sig("def points(self) -> typing.Any")),
              "Array [M, 3]: the mean of each occupied voxel's points.")
      .def_ro("features", &DownsampleResult::features, for_getter(nb::sig("def features(self) -> typing.Any")),
              "Array [M, F]: the mean of their features; None without.")
      .def_ro("counts", &DownsampleResult::counts, for_getter(nb::sig("def counts(self) -> typing.Any")),
              "int32 array [M]: points of the voxel.")
      .def_ro("offsets", &DownsampleResult::offsets, for_getter(nb::sig("def offsets(self) -> typing.Any")),
              "int64 array [B+1]: cloud b has rows offsets[b] .. offsets[b+1]-1.")
      .def_ro("dropped", &DownsampleResult::dropped, for_getter(nb::sig("def dropped(self) -> typing.Any")),
              "int64 array [B] or []: points with a coordinate that is not finite.");
  m.def(kDownsample, &voxel_downsample_arrays, nb::arg("points"), nb::arg("voxel_m"), nb::arg("features") = nb::none(),
        nb::kw_only(), nb::arg("origin") = nb::none(), nb::arg("lengths") = nb::none(), nb::arg("offsets") = nb::none(),
        nb::sig(kVoxelDownsampleSignature), kVoxelDownsampleDoc);
}

}  // namespace robocache::python
