/* Racah's solid harmonics C_lm for l = 1 ... 4, in the order of fusepot/models/harmonics.py. MIT licence. */

#ifndef FUSEPOT_HARMONICS_H
#define FUSEPOT_HARMONICS_H

#include "lanes.h"

namespace fusepot::FUSEPOT_VARIANT {

constexpr int most_components = 24;

constexpr double s3 = 1.7320508075688772, s5 = 2.2360679774997896, s6 = 2.449489742783178, s10 = 3.1622776601683795,
                 s15 = 3.872983346207417, s35 = 5.916079783099616, s70 = 8.366600265340756;

/* The polynomials C_lm of (x, y, z), l-major; within l: m = 0, then cosine and sine part of m = 1, 2, ... */
template <typename Real>
FUSEPOT_INLINE void racah(Lanes<Real> x, Lanes<Real> y, Lanes<Real> z, int l_max, Lanes<Real> *C)
{
  using V = Lanes<Real>;
  C[0] = z;
  C[1] = x;
  C[2] = y;
  if (l_max < 2) return;
  const V zz = z * z, c2 = x * x - y * y, s2 = 2 * x * y;
  C[3] = Real(1.5) * zz - Real(0.5);
  C[4] = Real(s3) * x * z;
  C[5] = Real(s3) * y * z;
  C[6] = Real(s3 / 2) * c2;
  C[7] = Real(s3 / 2) * s2;
  if (l_max < 3) return;
  const V c3 = x * c2 - y * s2, s3_ = x * s2 + y * c2;
  {
    const V first = Real(s6 / 4) * (5 * zz - 1), second = Real(s15 / 2) * z;
    C[8] = z * (Real(2.5) * zz - Real(1.5));
    C[9] = first * x;
    C[10] = first * y;
    C[11] = second * c2;
    C[12] = second * s2;
    C[13] = Real(s10 / 4) * c3;
    C[14] = Real(s10 / 4) * s3_;
  }
  if (l_max < 4) return;
  const V c4 = c2 * c2 - s2 * s2, s4 = 2 * c2 * s2;
  const V first = Real(s10 / 4) * z * (7 * zz - 3), second = Real(s5 / 4) * (7 * zz - 1), third = Real(s70 / 4) * z;
  C[15] = (zz * (35 * zz - 30) + 3) * Real(0.125);
  C[16] = first * x;
  C[17] = first * y;
  C[18] = second * c2;
  C[19] = second * s2;
  C[20] = third * c3;
  C[21] = third * s3_;
  C[22] = Real(s35 / 8) * c4;
  C[23] = Real(s35 / 8) * s4;
}

/* The gradient (X, Y, Z) of sum_lm P_lm C_lm(x, y, z): `racah` differentiated in reverse, from the last line up. */
template <typename Real>
FUSEPOT_INLINE void racah_gradient(Lanes<Real> x, Lanes<Real> y, Lanes<Real> z, int l_max, const Lanes<Real> *P,
                                   Lanes<Real> &X, Lanes<Real> &Y, Lanes<Real> &Z)
{
  using V = Lanes<Real>;
  X = P[1];
  Y = P[2];
  Z = P[0];
  if (l_max < 2) return;
  const V zz = z * z, c2 = x * x - y * y, s2 = 2 * x * y;
  // Derivatives with respect to (x + iy)^m = cm + i sm.
  V d_c2 = Real(s3 / 2) * P[6], d_s2 = Real(s3 / 2) * P[7];
  V d_c3{}, d_s3{};
  const V xP = x * P[4] + y * P[5];
  X += Real(s3) * z * P[4];
  Y += Real(s3) * z * P[5];
  Z += 3 * z * P[3] + Real(s3) * xP;
  if (l_max >= 4) {
    const V c3 = x * c2 - y * s2, s3_ = x * s2 + y * c2;
    const V first = Real(s10 / 4) * z * (7 * zz - 3), second = Real(s5 / 4) * (7 * zz - 1), third = Real(s70 / 4) * z;
    const V d_c4 = Real(s35 / 8) * P[22], d_s4 = Real(s35 / 8) * P[23];
    d_c2 += second * P[18] + 2 * (c2 * d_c4 + s2 * d_s4);
    d_s2 += second * P[19] + 2 * (c2 * d_s4 - s2 * d_c4);
    d_c3 = third * P[20];
    d_s3 = third * P[21];
    X += first * P[16];
    Y += first * P[17];
    Z += z * (Real(17.5) * zz - Real(7.5)) * P[15] + Real(s10 / 4) * (21 * zz - 3) * (x * P[16] + y * P[17]) +
        Real(3.5 * s5) * z * (c2 * P[18] + s2 * P[19]) + Real(s70 / 4) * (c3 * P[20] + s3_ * P[21]);
  }
  if (l_max >= 3) {
    const V first = Real(s6 / 4) * (5 * zz - 1), second = Real(s15 / 2) * z;
    d_c3 += Real(s10 / 4) * P[13];
    d_s3 += Real(s10 / 4) * P[14];
    d_c2 += second * P[11] + x * d_c3 + y * d_s3;
    d_s2 += second * P[12] - y * d_c3 + x * d_s3;
    X += first * P[9] + c2 * d_c3 + s2 * d_s3;
    Y += first * P[10] + c2 * d_s3 - s2 * d_c3;
    Z += (Real(7.5) * zz - Real(1.5)) * P[8] + Real(2.5 * s6) * z * (x * P[9] + y * P[10]) +
        Real(s15 / 2) * (c2 * P[11] + s2 * P[12]);
  }
  X += 2 * (x * d_c2 + y * d_s2);
  Y += 2 * (x * d_s2 - y * d_c2);
}

/* The descriptor of degree l is this times sum_m A_lm^2. */
constexpr double power_factor(int l)
{
  return (2 * l + 1) / (4 * 3.14159265358979323846);
}

/* tr Q^3 of the symmetric traceless tensor whose l = 2 components are A[0], A[stride], ...; `slope` its derivatives. */
template <typename Real>
FUSEPOT_INLINE Lanes<Real> cubic_invariant(const Real *A, int stride, Lanes<Real> *slope)
{
  using V = Lanes<Real>;
  const Real third = Real(1 / s3);
  const V zero = load(A), c = load(A + 3 * stride), s = load(A + 4 * stride);
  const V xx = third * c - zero / 3, yy = -third * c - zero / 3, zz = zero * Real(2.0 / 3);
  const V xy = third * s, xz = third * load(A + stride), yz = third * load(A + 2 * stride);
  const V d_xx = 3 * (yy * zz - yz * yz), d_yy = 3 * (xx * zz - xz * xz), d_zz = 3 * (xx * yy - xy * xy);
  slope[0] = Real(2.0 / 3) * d_zz - (d_xx + d_yy) / 3;
  slope[1] = 6 * third * (xy * yz - xz * yy);
  slope[2] = 6 * third * (xy * xz - xx * yz);
  slope[3] = third * (d_xx - d_yy);
  slope[4] = 6 * third * (xz * yz - xy * zz);
  return 3 * (xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz));
}

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
