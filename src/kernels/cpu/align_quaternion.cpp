#include <algorithm>

#include "kernels/cpu/align_elements.hpp"
#include "kernels/cpu/align_prefetch.hpp"
#include "kernels/cpu/lanes.hpp"

// Apply for slerp, se3 and screw. The quaternions of several rows and units are computed at once, whatever their types
// and strides are.
namespace robocache::cpu::ROBOCACHE_ISA {

namespace {

/// C is the compute type; the weights of slerp are series of kTerms terms.
template <class C, int kTerms>
class Quaternions {
 public:
  explicit Quaternions(const Store& store)
      : store_(store),
        stream_(store.stream),
        columns_(unit_columns(stream_.place.interp)),
        position_(columns_ - 4),
        read_(reader<C>(stream_.dtype)),
        write_(writer<C>(stream_.out_dtype)) {}

  void run() {
    const std::int64_t units = stream_.columns / columns_;
    const Prefetch prefetch(store_);
    for (std::int64_t first = 0; first < units; first += kBlock) {
      first_ = first;
      width_ = units - first < kBlock ? units - first : kBlock;
      store_units(prefetch);
    }
  }

 private:
  static constexpr std::int64_t kBlock = 64;  ///< quaternions computed at once; what they take stays in a near cache
  static constexpr int kWidth = kLanes<C>;
  using L = Lanes<C, kWidth>;
  using Mask = decltype(typename L::V{} != typename L::V{});
  using Sequence = std::make_integer_sequence<int, kWidth>;
  static_assert(kBlock % kWidth == 0);

  /// Units first_ .. first_ + width_ - 1 of all rows. Element r * width_ + u of a block is unit u of its row r; those
  /// of the row before the block lie just below kBlock in raw_ and sign_.
  void store_units(const Prefetch& prefetch) {
    for (std::int64_t u = 0; u < width_; ++u) {
      for (auto& component : raw_) component[kBlock - width_ + u] = std::numeric_limits<C>::quiet_NaN();
      sign_[kBlock - width_ + u] = store_.signs.seed != nullptr ? static_cast<C>(store_.signs.seed[first_ + u]) : C(1);
    }
    const std::int64_t rows = kBlock / width_;
    for (std::int64_t r = store_.signs.lead ? -1 : 0; r < store_.count; r += rows) {
      const std::int64_t n = store_.count - r < rows ? store_.count - r : rows;
      beyond_ = false;
      for (std::int64_t k = 0; k < n; ++k) {
        if (r + k >= 0) prefetch.before(r + k);
        read_row(r + k, k * width_);
      }
      compute(n * width_);
      for (std::int64_t k = 0; k < n; ++k) {
        if (r + k >= 0) write_row(r + k, k * width_);
      }
      const std::int64_t last = kBlock + (n - 1) * width_;
      for (auto& component : raw_) std::copy_n(component + last, width_, component + kBlock - width_);
      std::copy_n(sign_ + last, width_, sign_ + kBlock - width_);
    }
    if (store_.signs.last == nullptr) return;
    for (std::int64_t u = 0; u < width_; ++u) {
      store_.signs.last[first_ + u] = static_cast<std::int8_t>(sign_[kBlock - width_ + u]);
    }
  }

  void read_row(std::int64_t r, std::int64_t item) {
    if (store_.units.given()) {
      for (std::int64_t u = 0; u < width_; ++u) {
        const UnitPlace unit = store_.units(r, first_ + u);
        read_units(item + u, u, 1, unit.p);
      }
      return;
    }
    const Row& row = store_.rows[r];
    Placement p;
    p.store = is_fill(row) ? Placement::Store::fill : blends(row) ? Placement::Store::blend : Placement::Store::copy;
    p.index = row.index;
    p.next = row.index + 1;
    p.weight = row.weight;
    read_units(item, 0, width_, p);
  }

  /// `n` units from unit u of the block on, placed alike.
  void read_units(std::int64_t item, std::int64_t u, std::int64_t n, const Placement& p) {
    C* const from = from_ + item * columns_;
    C* const to = to_ + item * columns_;
    const bool fills = p.store == Placement::Store::fill;
    const double w = p.store == Placement::Store::blend ? p.weight : 0;
    beyond_ = beyond_ || !(w >= 0 && w <= 1);
    for (std::int64_t i = item; i < item + n; ++i) {
      fills_[i] = fills;
      weight_[i] = fills ? p.weight : w;
      part_[i] = static_cast<C>(w);
    }
    if (fills) {
      for (std::int64_t i = 0; i < n * columns_; ++i) from[i] = to[i] = std::numeric_limits<C>::quiet_NaN();
      return;
    }
    read_sample(from, p.index, u, n);
    if (p.store == Placement::Store::blend) {
      read_sample(to, p.next, u, n);
    } else {
      for (std::int64_t i = 0; i < n * columns_; ++i) to[i] = from[i];
    }
  }

  void read_sample(C* to, std::int64_t index, std::int64_t u, std::int64_t n) const {
    const auto size = static_cast<std::int64_t>(size_of(stream_.dtype));
    read_(to, store_.sample(index) + (first_ + u) * columns_ * stream_.value_column * size, stream_.value_column,
          n * columns_);
  }

  /// From from_, to_ and weight_ to value_.
  void compute(std::int64_t count) {
    const C* from = from_;
    const C* to = to_;
    if (position_ > 0) {
      for (std::int64_t i = 0; i < count; ++i) {
        for (int k = 0; k < 4; ++k) {
          turns_[0][4 * i + k] = from_[columns_ * i + position_ + k];
          turns_[1][4 * i + k] = to_[columns_ * i + position_ + k];
        }
      }
      from = turns_[0];
      to = turns_[1];
    }
    Mask lost{};
    for (std::int64_t i = 0; i < count; i += kWidth) lost |= interpolate(from + 4 * i, to + 4 * i, i);
    lost_ = false;
    for (int lane = 0; lane < kWidth; ++lane) lost_ |= lost[lane] != 0;
    for (std::int64_t i = 0; beyond_ && i < count; ++i) {
      if (!fills_[i] && !(weight_[i] >= 0 && weight_[i] <= 1)) interpolate_beyond(from + 4 * i, to + 4 * i, i);
    }
    follow(count);
    C* const quaternions = position_ > 0 ? turns_[0] : value_;
    for (std::int64_t i = 0; i < count; i += kWidth) {
      const L sign = load_lanes<L>(sign_ + kBlock + i);
      L q[4];
      for (int k = 0; k < 4; ++k) q[k] = load_lanes<L>(raw_[k] + kBlock + i) * sign;
      join_four(quaternions + 4 * i, q, Sequence{});
    }
    if (position_ == 0) return;
    for (std::int64_t i = 0; i < count; ++i) {
      move(i);
      for (int k = 0; k < 4; ++k) value_[columns_ * i + position_ + k] = quaternions[4 * i + k];
    }
  }

  /// What slerp() gives, with less that waits: the lengths of the ends go into their weights, and what is blended of
  /// unit quaternions is so nearly one that a step of Newton's rule normalises it.
  /// Returns which of them have no direction.
  ROBOCACHE_SIMD Mask interpolate(const C* from, const C* to, std::int64_t i) {
    Quaternion<L> a;
    Quaternion<L> b;
    split_four(from, a.c, Sequence{});
    split_four(to, b.c, Sequence{});
    const L from_scale = inverse_length(a);
    const L to_scale = inverse_length(b);
    const L signed_cosine = dot(a, b) * (from_scale * to_scale);
    const auto away = signed_cosine < L(0);
    const L w = load_lanes<L>(part_ + i);
    const auto weights = slerp_weights<kTerms>(w, select(away, -signed_cosine, signed_cosine));
    const auto copies = w == L(0);
    const L x = select(copies, L(1), weights.from) * from_scale;
    const L y = select(copies, L(0), select(away, -weights.to, weights.to)) * to_scale;
    Quaternion<L> q;
    for (int k = 0; k < 4; ++k) q.c[k] = x * a.c[k] + y * b.c[k];
    const L scale = L(1.5) - L(0.5) * dot(q, q);
    for (int k = 0; k < 4; ++k) store_bytes(raw_[k] + kBlock + i, (q.c[k] * scale).v);
    return scale.v != scale.v;
  }

  /// The series of the weights holds in [0, 1] only.
  void interpolate_beyond(const C* from, const C* to, std::int64_t i) {
    Quaternion<double> a;
    Quaternion<double> b;
    for (int k = 0; k < 4; ++k) {
      a.c[k] = from[k];
      b.c[k] = to[k];
    }
    const Quaternion<double> q = slerp(a, b, weight_[i]);
    for (int k = 0; k < 4; ++k) raw_[k][kBlock + i] = static_cast<C>(q.c[k]);
  }

  /// Puts each quaternion in the hemisphere of the one of its unit in the row before.
  void follow(std::int64_t count) {
    C turn[kBlock];
    for (std::int64_t i = 0; i < count; i += kWidth) {
      L a[4];
      L b[4];
      for (int k = 0; k < 4; ++k) {
        a[k] = load_lanes<L>(raw_[k] + kBlock + i - width_);
        b[k] = load_lanes<L>(raw_[k] + kBlock + i);
      }
      const L cosine = (a[0] * b[0] + a[1] * b[1]) + (a[2] * b[2] + a[3] * b[3]);
      store_bytes(turn + i, select(cosine < L(0), L(-1), L(1)).v);
    }
    for (std::int64_t i = 0; i < count; ++i) sign_[kBlock + i] = sign_[kBlock + i - width_] * turn[i];
  }

  /// The position of a pose.
  void move(std::int64_t i) {
    const C* const from = from_ + columns_ * i;
    const C* const to = to_ + columns_ * i;
    C* const out = value_ + columns_ * i;
    if (stream_.place.interp == Interp::screw && part_[i] != 0) {
      UnitPlace u;
      u.p.store = Placement::Store::blend;
      u.p.weight = weight_[i];
      u.p.next = 1;
      double pose[7];
      const auto sample = [from, to](std::int64_t s, int k) { return static_cast<double>((s == 0 ? from : to)[k]); };
      unit_value<double>(Interp::screw, stream_.quaternion, u, sample, pose);
      for (int k = 0; k < 3; ++k) out[k] = static_cast<C>(pose[k]);
    } else {
      for (int k = 0; k < 3; ++k) out[k] = part_[i] == 0 ? from[k] : from[k] + (to[k] - from[k]) * part_[i];
    }
  }

  void write_row(std::int64_t r, std::int64_t item) {
    const auto size = static_cast<std::int64_t>(size_of(stream_.out_dtype));
    std::byte* const out = store_.row(r) + first_ * columns_ * size;
    scale_and_shift(stream_, value_ + item * columns_, first_ * columns_, width_ * columns_);
    write_(out, value_ + item * columns_, width_ * columns_);
    if (!lost_) return;
    for (std::int64_t u = 0; u < width_; ++u) {
      if (fills_[item + u]) {
        fill(out + u * columns_ * size, stream_.out_dtype, columns_, weight_[item + u]);
      } else if (raw_[0][kBlock + item + u] != raw_[0][kBlock + item + u]) {
        store_.marks.invalidate(r);
      }
    }
  }

  const Store& store_;
  const AlignStream& stream_;
  std::int64_t columns_;   ///< of a unit
  std::int64_t position_;  ///< of them in front of the quaternion
  Read<C> read_;
  Write<C> write_;
  std::int64_t first_ = 0;
  std::int64_t width_ = 0;
  bool beyond_ = false;    ///< a weight of the block is outside [0, 1]
  bool lost_ = false;      ///< a quaternion of the block is NaN; those of fills are
  bool fills_[kBlock];     ///< not blended but filled
  double weight_[kBlock];  ///< or the fill value
  C part_[kBlock] = {};    ///< the weight to compute with
  C from_[7 * kBlock] = {};
  C to_[7 * kBlock] = {};
  C turns_[2][4 * kBlock] = {};  ///< the quaternions of poses by themselves
  C value_[7 * kBlock];
  C raw_[4][2 * kBlock];  ///< in the hemisphere of the earlier sample
  C sign_[2 * kBlock];    ///< of what is stored, relative to that
};

}  // namespace

void apply_quaternions(const Store& store) {
  const auto half = [](DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; };
  if (half(store.stream.dtype) && half(store.stream.out_dtype)) {
    Quaternions<float, 3>(store).run();
  } else if (store.stream.out_dtype != DType::f64) {
    Quaternions<double, 5>(store).run();
  } else {
    Quaternions<double, 10>(store).run();
  }
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
