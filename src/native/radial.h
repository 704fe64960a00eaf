/* Functions of the distance: the smooth cutoff, sums over basis functions, and the screened nuclear repulsion. MIT licence. */

#ifndef FUSEPOT_RADIAL_H
#define FUSEPOT_RADIAL_H

#include "lanes.h"

namespace fusepot::FUSEPOT_VARIANT {

constexpr double pi = 3.14159265358979323846;

/* (1 + cos(pi x)) / 2 and its derivative for 0 <= x <= 1. With y = (pi/4) (2 x - 1), which is small enough for
   `sine_and_cosine`, they are 1/2 - sin y cos y and -pi (cos(y)^2 - 1/2). */
template <typename Real> FUSEPOT_INLINE void half_cosine(Lanes<Real> x, Lanes<Real> &value, Lanes<Real> &slope)
{
  Lanes<Real> sine, cosine;
  sine_and_cosine<Real>(Real(pi / 2) * x - Real(pi / 4), sine, cosine);
  value = Real(0.5) - sine * cosine;
  slope = Real(-pi) * (cosine * cosine - Real(0.5));
}

/* The cutoff function (1 + cos(pi r/rc)) / 2 and its derivative, both exactly zero from the cutoff on. */
template <typename Real>
FUSEPOT_INLINE void cut(Lanes<Real> r, double cutoff, Lanes<Real> &envelope, Lanes<Real> &slope)
{
  const Lanes<Real> fraction = r * Real(1 / cutoff);
  const auto beyond = fraction >= 1;    // false for NaN, which so comes through
  half_cosine<Real>(beyond ? Lanes<Real>{} : fraction, envelope, slope);
  envelope = beyond ? Lanes<Real>{} : envelope;
  slope = beyond ? Lanes<Real>{} : slope * Real(1 / cutoff);
}

/* d/dr of sum_k w_k f_k(r), f_k = (T_k(x) + 1)/2 envelope, x = 2 (r/rc - 1)^2 - 1; weights are `stride` vectors apart. */
template <typename Real>
FUSEPOT_INLINE Lanes<Real> slope_of_basis(Lanes<Real> r, double cutoff, Lanes<Real> envelope, Lanes<Real> slope,
                                          const Real *weights, int count, int stride)
{
  using V = Lanes<Real>;
  const V distance = r * Real(1 / cutoff) - 1;
  const V x = 2 * distance * distance - 1, twice = 2 * x;
  V previous = x, present = all(Real(1)), d_previous = present, d_present{}, value{}, derivative{};    // T_-1 = T_1
  for (int k = 0; k < count; ++k) {
    const V w = load(weights + k * stride * width<Real>);
    value += w * (present + 1);
    derivative += w * d_present;
    const V next = twice * present - previous, d_next = 2 * present + twice * d_present - d_previous;
    previous = present;
    present = next;
    d_previous = d_present;
    d_present = d_next;
  }
  // dx/dr = 4 (r/rc - 1)/rc
  return Real(2 / cutoff) * distance * envelope * derivative + Real(0.5) * slope * value;
}

/* Half of the ZBL energy of each pair is added to `energy`; returns its derivative. See fusepot/models/zbl.py. */
template <typename Real>
FUSEPOT_INLINE Lanes<Real> repulsion(Lanes<Real> r, double inner, double outer, double zi, double zj, Lanes<Real> &energy)
{
  using V = Lanes<Real>;
  bool any = false;
  for (int l = 0; l < width<Real>; ++l) any |= !(r[l] >= Real(outer));
  if (!any) return V{};

  constexpr double amplitude[] = {0.18175, 0.50986, 0.28022, 0.02817}, rate[] = {3.1998, 0.94229, 0.4029, 0.20162};
  const double scale = 2.134563 * (__builtin_pow(zi, 0.23) + __builtin_pow(zj, 0.23));
  V screening{}, d_screening{};
  for (int k = 0; k < 4; ++k) {
    const V term = Real(amplitude[k]) * exponential<Real>(Real(-rate[k] * scale) * r);
    screening += term;
    d_screening -= Real(rate[k] * scale) * term;
  }
  V fraction = (r - Real(inner)) * Real(1 / (outer - inner)), envelope, d_envelope;
  fraction = fraction < 0 ? V{} : fraction;
  const auto none = fraction >= 1;
  half_cosine<Real>(none ? V{} : fraction, envelope, d_envelope);
  d_envelope *= Real(1 / (outer - inner));
  const V coulomb = Real(0.5 * 14.399645 * zi * zj) / r, pair = coulomb * screening * envelope;
  energy += none ? V{} : pair;
  return none ? V{} : coulomb * (d_screening * envelope + screening * d_envelope) - pair / r;
}

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
