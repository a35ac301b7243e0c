#include "ops/clouds.hpp"

#include <cstdio>
#include <string>

namespace robocache {

namespace {

/// One call's points, and the dimensions that they bind.
class Reader {
 public:
  Reader(const Check& check, const Clouds& clouds) : check_(check), clouds_(clouds) {
    read_points();
    args_.lengths = index_list("lengths", clouds.lengths, args_.clouds);
    args_.offsets = index_list("offsets", clouds.offsets, args_.clouds + 1);
    read_features();
    args_.transforms = read_transform(check, clouds.transform, clouds.points.device, args_.batched ? args_.clouds : -1);
    if (clouds.points.device.kind == DeviceKind::cpu) check_ranges();
  }

  [[nodiscard]] const CloudArgs& args() const { return args_; }

 private:
  void read_points() {
    const ConstTensor& points = clouds_.points;
    const bool packed = clouds_.offsets.given();
    check_.dtype("points", points, PointDTypes{});
    if (points.rank == 3) {
      check_.shape("points", points, {&padded_, &samples_, 3});
      if (packed) check_.fail("offsets", "given with points [B, N, 3]", "points [N, 3]");
    } else {
      if (points.rank != 2 || points.shape[1] != 3) check_.fail("points", shape_text(points), "[N, 3] or [B, N, 3]");
      samples_.value = points.shape[0];
      if (clouds_.lengths.given()) check_.fail("lengths", "given with points [N, 3]", "points [B, N, 3]");
    }
    if (packed && (clouds_.offsets.rank != 1 || clouds_.offsets.shape[0] < 1)) {
      check_.fail("offsets", shape_text(clouds_.offsets), "[B+1]");
    }
    args_.batched = packed || points.rank == 3;
    args_.clouds = packed ? clouds_.offsets.shape[0] - 1 : points.rank == 3 ? padded_.value : 1;
    args_.points = rows_of(points);
    args_.samples = samples_.value;
  }

  void read_features() {
    const ConstTensor& features = clouds_.features;
    if (!features.given()) return;
    check_.dtype("features", features, PointDTypes{});
    check_.device("features", features, clouds_.points.device);
    Dim columns{"F"};
    if (padded_.value >= 0) {
      check_.shape("features", features, {&padded_, &samples_, &columns});
    } else {
      check_.shape("features", features, {&samples_, &columns});
    }
    args_.features = rows_of(features);
    args_.columns = columns.value;
    args_.has_features = true;
  }

  [[nodiscard]] IndexList index_list(const Subject& subject, const ConstTensor& list, std::int64_t size) const {
    if (!list.given()) return {};
    check_.shape(subject, list, {size});
    check_.dtype(subject, list, IndexDTypes{});
    check_.device(subject, list, clouds_.points.device);
    return {list.data, list.strides[0], list.dtype == DType::i64};
  }

  void check_ranges() const {
    if (args_.lengths.data == nullptr && args_.offsets.data == nullptr) return;
    for (std::int64_t b = 0; b < args_.clouds; ++b) {
      const CloudRange range = cloud_range(args_, b);
      if (range.begin >= 0 && range.begin <= range.end && range.end <= args_.samples) continue;
      const std::string cloud = " of cloud " + std::to_string(b);
      if (args_.lengths.data != nullptr) {
        check_.fail("lengths", std::to_string(range.end) + cloud, "0 to N=" + std::to_string(args_.samples));
      }
      check_.fail("offsets", std::to_string(range.begin) + " to " + std::to_string(range.end) + cloud,
                  "non-decreasing numbers of 0 to N=" + std::to_string(args_.samples));
    }
  }

  const Check& check_;
  const Clouds& clouds_;
  CloudArgs args_;
  Dim padded_{"B"};  ///< of points [B, N, 3]
  Dim samples_{"N"};
};

}  // namespace

std::string number_text(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  return text;
}

PointRows rows_of(const ConstTensor& t) {
  return {t.data, t.dtype, t.rank == 3 ? t.strides[0] : 0, t.strides[t.rank - 2], t.strides[t.rank - 1]};
}

bool is_contiguous(const ConstTensor& tensor) {
  std::int64_t stride = 1;
  for (int i = tensor.rank - 1; i >= 0 && tensor.numel() > 0; --i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

Transforms read_transform(const Check& check, const ConstTensor& transform, Device device, std::int64_t batch) {
  if (!transform.given()) return {};
  check.dtype("transform", transform, TransformDTypes{});
  check.device("transform", transform, device);
  if (transform.rank == 3 && batch >= 0) {
    check.shape("transform", transform, {batch, 4, 4});
  } else {
    check.shape("transform", transform, {4, 4});
  }
  const PointRows t = rows_of(transform);
  return {t.data, t.dtype == DType::f64, t.batch, t.row, t.column};
}

CloudArgs read_clouds(const Check& check, const Clouds& clouds) { return Reader(check, clouds).args(); }

}  // namespace robocache
