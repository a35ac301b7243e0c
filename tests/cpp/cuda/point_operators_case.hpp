#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cuda_test.hpp"
#include "math/convert.hpp"
#include "robocache/point_operators.hpp"

// Random clouds with all that can be said of where they lie, in memory of both devices.
namespace robocache::point_scenes {

using cuda_testing::Arena;
using cuda_testing::kGpu;
using cuda_testing::to_host;
using Bytes = std::vector<std::uint8_t>;

/// The same memory on both devices, from `skew` bytes behind an aligned address.
class Twin {
 public:
  Twin(Arena& arena, const Bytes& content, std::size_t skew = 0) : host_(content.size() + skew), skew_(skew) {
    if (!content.empty()) std::memcpy(host_.data() + skew, content.data(), content.size());
    device_ = arena.copy(host_);
  }

  [[nodiscard]] void* at(Device where) { return (where == kGpu ? device_ : host_.data()) + skew_; }

  /// Both have the same numbers of a type; NaN is one of them.
  void expect_same(DType dtype, const std::string& what) const {
    const Bytes got = to_host(device_, host_.size());
    std::size_t wrong = 0;
    for (std::size_t i = skew_; i < host_.size(); i += size_of(dtype)) {
      const bool same = std::memcmp(&got[i], &host_[i], size_of(dtype)) == 0;
      if (!same && !(is_nan(&got[i], dtype) && is_nan(&host_[i], dtype))) ++wrong;
    }
    EXPECT_EQ(wrong, 0U) << what;
  }

 private:
  static bool is_nan(const std::uint8_t* at, DType dtype) {
    if (!is_float(dtype)) return false;
    return with_element_type(dtype, [&]<class T>() {
      T v{};
      std::memcpy(&v, at, sizeof v);
      return std::isnan(static_cast<double>(widened<double>(v)));
    });
  }

  Bytes host_;
  std::uint8_t* device_ = nullptr;
  std::size_t skew_;
};

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// Numbers as elements of a float type.
inline Bytes stored(const std::vector<double>& numbers, DType dtype) {
  const std::size_t size = size_of(dtype);
  Bytes bytes(numbers.size() * size);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    with_element_type(dtype, [&]<class T>() {
      const T v = filled<T>(numbers[i]);
      std::memcpy(&bytes[i * size], &v, sizeof v);
    });
  }
  return bytes;
}

enum class Kind : std::uint8_t { single, padded, lengths, packed };
inline constexpr Kind kKinds[] = {Kind::single, Kind::padded, Kind::lengths, Kind::packed};

struct Form {
  Kind kind = Kind::single;
  DType dtype = DType::f32;
  std::int64_t clouds = 1, samples = 0;
  std::int64_t pitch = 3;  ///< elements from point to point
  std::size_t skew = 0;    ///< elements
  std::int64_t columns = 0;
  DType feature_dtype = DType::f32;
  bool moves = true, each_moves = false, spoilt = true;

  [[nodiscard]] std::string text() const {
    return "kind " + std::to_string(static_cast<int>(kind)) + " " + std::string(name(dtype)) + " B " +
           std::to_string(clouds) + " N " + std::to_string(samples) + " pitch " + std::to_string(pitch) + " skew " +
           std::to_string(skew) + " F " + std::to_string(columns) + (each_moves ? " each moves" : "");
  }
  [[nodiscard]] bool batched() const { return kind == Kind::padded || kind == Kind::lengths; }
  [[nodiscard]] std::int64_t rows() const { return batched() ? clouds * samples : samples; }
};

class Scene {
 public:
  Scene(Arena& arena, const Form& form)
      : form_(form),
        random_(static_cast<unsigned>(form.samples + form.clouds + form.columns)),
        points_(arena, stored(numbers(form.rows() * form.pitch, form.spoilt), form.dtype),
                form.skew * size_of(form.dtype)),
        features_(arena, stored(numbers(form.rows() * form.columns, form.spoilt), form.feature_dtype)),
        ends_(arena, bytes_of(ends())),
        transform_(arena, stored(numbers(16 * (form.each_moves ? form.clouds : 1), false), DType::f64)) {}

  [[nodiscard]] const Form& form() const { return form_; }

  [[nodiscard]] Clouds clouds(Device where) {
    Clouds clouds{.points = points(points_, where)};
    if (form_.columns > 0) {
      clouds.features = form_.batched() ? ConstTensor(features_.at(where), form_.feature_dtype,
                                                      {form_.clouds, form_.samples, form_.columns}, where)
                                        : ConstTensor(features_.at(where), form_.feature_dtype,
                                                      {form_.samples, form_.columns}, where);
    }
    if (form_.kind == Kind::lengths) clouds.lengths = {ends_.at(where), DType::i32, {form_.clouds}, where};
    if (form_.kind == Kind::packed) clouds.offsets = {ends_.at(where), DType::i32, {form_.clouds + 1}, where};
    if (form_.each_moves) clouds.transform = {transform_.at(where), DType::f64, {form_.clouds, 4, 4}, where};
    if (form_.moves && !form_.each_moves) clouds.transform = {transform_.at(where), DType::f64, {4, 4}, where};
    return clouds;
  }

  /// The points, or what is as they are.
  [[nodiscard]] Tensor points(Twin& memory, Device where) const {
    Tensor t = form_.batched() ? Tensor(memory.at(where), form_.dtype, {form_.clouds, form_.samples, 3}, where)
                               : Tensor(memory.at(where), form_.dtype, {form_.samples, 3}, where);
    t.strides[t.rank - 2] = form_.pitch;
    if (t.rank == 3) t.strides[0] = form_.samples * form_.pitch;
    return t;
  }
  [[nodiscard]] Twin& memory() { return points_; }

 private:
  std::vector<double> numbers(std::int64_t count, bool spoilt) {
    constexpr double odd[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -0.0};
    std::normal_distribution<double> some(0, 1);
    std::vector<double> made(static_cast<std::size_t>(count));
    for (double& v : made) v = spoilt && random_() % 50 == 0 ? odd[random_() % 3] : std::round(8 * some(random_)) / 8;
    return made;
  }

  /// Lengths or offsets; some clouds are empty.
  std::vector<std::int32_t> ends() {
    std::vector<std::int32_t> made;
    const auto most = static_cast<std::int32_t>(form_.samples);
    for (std::int64_t b = 0; b <= form_.clouds; ++b) {
      made.push_back(form_.kind == Kind::packed
                         ? static_cast<std::int32_t>((most - most / 9) * b / form_.clouds) + most / 19
                     : b % 3 == 1 ? 0
                                  : most - static_cast<std::int32_t>(b % 7) * most / 10);
    }
    if (form_.kind == Kind::packed && form_.clouds > 2) made[1] = made[2];
    return made;
  }

  Form form_;
  std::mt19937 random_;
  Twin points_, features_, ends_, transform_;
};

}  // namespace robocache::point_scenes
