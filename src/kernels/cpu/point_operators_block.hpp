#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/simd.hpp"
#include "kernels/point_operators.hpp"
#include "memory/buffer.hpp"

namespace robocache::cpu::ROBOCACHE_ISA {

/// Rows [begin, end) of the batch row `base`, all of one cloud.
struct Piece {
  std::int64_t cloud = 0;  ///< -1: nobody's, with `rest`
  std::int64_t base = 0;
  std::int64_t begin = 0, end = 0;
  std::int64_t first_kept = 0;  ///< crop: first how many are kept, then where they go
};

/// Clouds cut for threads, in the order of their points: few enough to sum up serially, small enough for a core's L2.
class Pieces {
 public:
  /// `rest`: also the rows that are no cloud's.
  Pieces(const CloudArgs& args, bool rest, const Context& ctx) {
    const auto each = [&](const auto& body) { each_piece(args, rest, body); };
    each([this](const Piece&) { ++count_; });
    MemoryResource& memory = ctx.scratch != nullptr ? *ctx.scratch : host_memory();
    buffer_ = Buffer(memory, static_cast<std::size_t>(count_) * sizeof(Piece));
    Piece* next = begin();
    each([&](const Piece& piece) { *next++ = piece; });
  }

  [[nodiscard]] Piece* begin() const { return static_cast<Piece*>(buffer_.data()); }
  [[nodiscard]] Piece* end() const { return begin() + count_; }
  [[nodiscard]] std::int64_t size() const { return count_; }
  /// How many pieces a thread takes at once: many where clouds are tiny.
  [[nodiscard]] std::int64_t grain() const { return 1 + count_ / 256; }

 private:
  static constexpr std::int64_t kPoints = 4096;

  template <class F>
  static void cut(std::int64_t cloud, std::int64_t base, std::int64_t first, std::int64_t last, const F& body) {
    for (std::int64_t n = first; n < last; n += kPoints) body(Piece{cloud, base, n, std::min(n + kPoints, last)});
  }

  template <class F>
  static void each_piece(const CloudArgs& args, bool rest, const F& body) {
    const bool packed = args.offsets.data != nullptr;
    if (rest && packed) cut(-1, 0, 0, args.offsets[0], body);
    for (std::int64_t b = 0; b < args.clouds; ++b) {
      const CloudRange range = cloud_range(args, b);
      cut(b, range.base, range.begin, range.end, body);
      if (rest && !packed) cut(-1, range.base, range.end, args.samples, body);
    }
    if (rest && packed) cut(-1, 0, args.offsets[args.clouds], args.samples, body);
  }

  std::int64_t count_ = 0;
  Buffer buffer_;
};

/// n floats side by side, in compute type C, and back.
template <class T, class C>
void widen_row(const T* from, std::int64_t n, C* to) {
  constexpr int lanes = std::is_same_v<T, f16> ? kVectorBytes / 4 : 1;
  std::int64_t i = 0;
  for (; i + lanes <= n && lanes > 1; i += lanes) store_bytes(to + i, load<T, lanes>(from + i));
  for (; i < n; ++i) to[i] = widened<C>(from[i]);
}

template <class T, class C>
void narrow_row(const C* from, std::int64_t n, T* to) {
  constexpr int lanes = std::is_same_v<T, f16> ? kVectorBytes / 4 : 1;
  std::int64_t i = 0;
  for (; i + lanes <= n && lanes > 1; i += lanes) store_bytes(to + i, narrow<T, lanes>(load<C, lanes>(from + i)));
  for (; i < n; ++i) to[i] = narrowed<T>(from[i]);
}

/// Some points by axis, so that arithmetic on them is arithmetic on vectors.
template <class C>
struct PointBlock {
  static constexpr std::int64_t kPoints = 256;

  alignas(64) C x[kPoints], y[kPoints], z[kPoints];
  std::int64_t count = 0;

  template <class T>
  void load(const PointRows& rows, std::int64_t base, std::int64_t first, std::int64_t points) {
    count = points;
    const T* from = static_cast<const T*>(rows.data) + base * rows.batch + first * rows.row;
    if (rows.row != 3 || rows.column != 1) {
      for (std::int64_t i = 0; i < count; ++i) set(i, point_at<T, C>(rows, base, first + i));
    } else if constexpr (std::is_same_v<T, C>) {
      split(from);
    } else {
      alignas(64) C flat[3 * kPoints];
      widen_row(from, 3 * count, flat);
      split(flat);
    }
  }

  void fill(C number, std::int64_t points) {
    count = points;
    for (std::int64_t i = 0; i < count; ++i) set(i, {number, number, number});
  }

  void transform(const Affine<C>& affine) {
    const Affine<C> map = affine;  // on the stack, where no store to x, y and z can reach it
    for (std::int64_t i = 0; i < count; ++i) set(i, map(at(i)));
  }

  /// To rows `row` elements apart.
  template <class T>
  void store(T* to, std::int64_t row, std::int64_t column) const {
    if (row != 3 || column != 1) {
      for (std::int64_t i = 0; i < count; ++i) {
        to[i * row] = narrowed<T>(x[i]);
        to[i * row + column] = narrowed<T>(y[i]);
        to[i * row + 2 * column] = narrowed<T>(z[i]);
      }
    } else if constexpr (std::is_same_v<T, C>) {
      join(to);
    } else {
      alignas(64) C flat[3 * kPoints];
      join(flat);
      narrow_row(flat, 3 * count, to);
    }
  }

  [[nodiscard]] Point<C> at(std::int64_t i) const { return {x[i], y[i], z[i]}; }
  void set(std::int64_t i, const Point<C>& p) { x[i] = p.x, y[i] = p.y, z[i] = p.z; }

 private:
  void split(const C* from) {
    for (std::int64_t i = 0; i < count; ++i) set(i, {from[3 * i], from[3 * i + 1], from[3 * i + 2]});
  }
  void join(C* to) const {
    for (std::int64_t i = 0; i < count; ++i) {
      to[3 * i] = x[i];
      to[3 * i + 1] = y[i];
      to[3 * i + 2] = z[i];
    }
  }
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
