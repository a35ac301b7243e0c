#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "numbers.hpp"

/// Curves between samples in extended precision, each by its textbook definition: the mathematics of the oracle, and
/// the C++ twin of align_curves.py. w is 0 at the first sample of an interval, 1 at the second.
namespace robocache::reference {

inline constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN();

using Vec3 = std::array<Real, 3>;
using Quat = std::array<Real, 4>;
template <std::size_t N>
using Matrix = std::array<std::array<Real, N>, N>;

template <std::size_t N>
Real dot(const std::array<Real, N>& a, const std::array<Real, N>& b) {
  Real sum = 0;
  for (std::size_t i = 0; i < N; ++i) sum += a[i] * b[i];
  return sum;
}

inline Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

/// q / |q|; NaN where that is no rotation (length zero, or not finite).
inline Quat unit_quaternion(const Quat& q) {
  const Real length = std::sqrt(dot(q, q));
  if (!(length > 0 && std::isfinite(length))) return {kNan, kNan, kNan, kNan};
  return {q[0] / length, q[1] / length, q[2] / length, q[3] / length};
}

/// Point w of the shortest arc from a to b, in a's hemisphere, through the part of b that is orthogonal to a.
inline Quat slerp(const Quat& from, const Quat& to, Real w) {
  const Quat a = unit_quaternion(from);
  Quat across = unit_quaternion(to);
  Real cosine = dot(a, across);
  for (Real& c : across) c = cosine < 0 ? -c : c;
  cosine = std::abs(cosine);
  for (std::size_t i = 0; i < 4; ++i) across[i] -= cosine * a[i];
  const Real sine = std::sqrt(dot(across, across));
  const Real angle = std::atan2(sine, cosine);
  Quat q;
  for (std::size_t i = 0; i < 4; ++i) {
    q[i] = std::cos(w * angle) * a[i] + (sine == 0 ? 0 : std::sin(w * angle) * (across[i] / sine));
  }
  return std::isnan(sine) ? Quat{kNan, kNan, kNan, kNan} : q;
}

/// Hamilton's product, scalar last.
inline Quat product(const Quat& p, const Quat& q) {
  const Vec3 a{p[0], p[1], p[2]}, b{q[0], q[1], q[2]}, c = cross(a, b);
  return {p[3] * b[0] + q[3] * a[0] + c[0], p[3] * b[1] + q[3] * a[1] + c[1], p[3] * b[2] + q[3] * a[2] + c[2],
          p[3] * q[3] - dot(a, b)};
}

inline Quat inverse(const Quat& q) { return {-q[0], -q[1], -q[2], q[3]}; }

inline Vec3 rotate(const Quat& q, const Vec3& v) {
  const Quat r = product(product(q, {v[0], v[1], v[2], 0}), inverse(q));
  return {r[0], r[1], r[2]};
}

template <std::size_t N>
Matrix<N> identity() {
  Matrix<N> m{};
  for (std::size_t i = 0; i < N; ++i) m[i][i] = 1;
  return m;
}

template <std::size_t N>
Matrix<N> operator*(const Matrix<N>& a, const Matrix<N>& b) {
  Matrix<N> m{};
  for (std::size_t i = 0; i < N; ++i) {
    for (std::size_t j = 0; j < N; ++j) {
      for (std::size_t k = 0; k < N; ++k) m[i][j] += a[i][k] * b[k][j];
    }
  }
  return m;
}

/// Sum over k of m^k / (k + first)!: exp(m) for first = 0, the mean of exp(s * m) over s in 0 .. 1 for first = 1.
template <std::size_t N>
Matrix<N> power_series(const Matrix<N>& m, int first) {
  Matrix<N> term = identity<N>();
  Matrix<N> total = term;
  for (int k = 1; k < 80; ++k) {
    term = term * m;
    for (std::size_t i = 0; i < N; ++i) {
      for (std::size_t j = 0; j < N; ++j) total[i][j] += term[i][j] /= k + first;
    }
  }
  return total;
}

/// The twist whose exponential is the rigid motion (unit quaternion with scalar >= 0, shift).
inline Matrix<4> twist(const Quat& rotation, const Vec3& shift) {
  const Vec3 v{rotation[0], rotation[1], rotation[2]};
  const Real sine = std::sqrt(dot(v, v));
  const Real scale = sine > 0 ? 2 * std::atan2(sine, rotation[3]) / sine : 2;
  const Vec3 t{v[0] * scale, v[1] * scale, v[2] * scale};
  const Matrix<3> turn{{{0, -t[2], t[1]}, {t[2], 0, -t[0]}, {-t[1], t[0], 0}}};
  const Matrix<3> mean = power_series(turn, 1);
  const auto column = [&](std::size_t j) { return Vec3{mean[0][j], mean[1][j], mean[2][j]}; };
  const Vec3 a = column(0), b = column(1), c = column(2);
  const Real volume = dot(a, cross(b, c));  // Cramer's rule
  const Vec3 speed{dot(shift, cross(b, c)) / volume, dot(a, cross(shift, c)) / volume,
                   dot(a, cross(b, shift)) / volume};
  Matrix<4> m{};
  for (std::size_t i = 0; i < 3; ++i) {
    std::copy(turn[i].begin(), turn[i].end(), m[i].begin());
    m[i][3] = speed[i];
  }
  return m;
}

/// The position of Ta * exp(w * log(Ta^-1 Tb)); the shorter of the two motions. Quaternions have their scalar last.
inline Vec3 screw_position(const Vec3& pa, const Quat& from, const Vec3& pb, const Quat& to, Real w) {
  const Quat a = unit_quaternion(from);
  Quat b = unit_quaternion(to);
  const bool opposite = dot(a, b) < 0;
  for (Real& c : b) c = opposite ? -c : c;
  if (std::isnan(dot(a, b))) return {kNan, kNan, kNan};
  Matrix<4> m = twist(product(inverse(a), b), rotate(inverse(a), {pb[0] - pa[0], pb[1] - pa[1], pb[2] - pa[2]}));
  for (auto& row : m) {
    for (Real& x : row) x *= w / 1024;
  }
  Matrix<4> motion = power_series(m, 0);
  for (int i = 0; i < 10; ++i) motion = motion * motion;
  const Vec3 moved = rotate(a, {motion[0][3], motion[1][3], motion[2][3]});
  return {pa[0] + moved[0], pa[1] + moved[1], pa[2] + moved[2]};
}

inline Real sign(Real x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

/// Three-point derivative at the end next to slope m0, kept monotone as scipy does.
inline Real end_slope(Real h0, Real h1, Real m0, Real m1) {
  const Real d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1);
  if (sign(d) != sign(m0)) return 0;
  return sign(m0) != sign(m1) && std::abs(d) > 3 * std::abs(m0) ? 3 * m0 : d;
}

/// The cubic of interval i of the curve through y at x (relative times), at w; scipy's PchipInterpolator.
inline Real pchip(const std::vector<Real>& x, const std::vector<Real>& y, std::size_t i, Real w) {
  if (std::any_of(y.begin(), y.end(), [](Real v) { return std::isnan(v); })) return kNan;
  const std::size_t n = y.size();
  std::vector<Real> h, m;
  for (std::size_t k = 0; k + 1 < n; ++k) {
    h.push_back(x[k + 1] - x[k]);
    m.push_back((y[k + 1] - y[k]) / h[k]);
  }
  const auto slope = [&](std::size_t k) -> Real {
    if (n == 2) return m[0];
    if (k == 0) return end_slope(h[0], h[1], m[0], m[1]);
    if (k == n - 1) return end_slope(h[n - 2], h[n - 3], m[n - 2], m[n - 3]);
    if (sign(m[k - 1]) * sign(m[k]) <= 0) return 0;
    const Real before = 2 * h[k] + h[k - 1], after = h[k] + 2 * h[k - 1];
    return (before + after) / (before / m[k - 1] + after / m[k]);
  };
  const Real a = y[i], b = y[i + 1], da = slope(i) * h[i], db = slope(i + 1) * h[i];
  return a + w * (da + w * ((3 * (b - a) - 2 * da - db) + w * (da + db - 2 * (b - a))));
}

/// To [-pi, pi), in f64: turn by turn of 2 pi as f64 has it; what is in the range stays as it is.
inline double wrap(double x) {
  constexpr double kPi = 3.14159265358979323846;
  if (-kPi <= x && x < kPi) return x;
  const double rest = std::remainder(x, 2 * kPi);
  return rest == kPi ? -kPi : rest;
}

}  // namespace robocache::reference
