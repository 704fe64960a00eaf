/* Vectors of numbers ("lanes") and the functions of them that the kernel needs. MIT licence.

   Vector extensions of GCC and Clang: arithmetic, comparison and ?: work lane by lane on any machine. Everything lives in
   a namespace of its own per instruction set (FUSEPOT_VARIANT), so that the linker keeps the variants apart. */

#ifndef FUSEPOT_LANES_H
#define FUSEPOT_LANES_H

#include <cstddef>
#include <cstdint>

#define FUSEPOT_INLINE __attribute__((always_inline)) inline

namespace fusepot::FUSEPOT_VARIANT {

template <typename Real> struct Format;

template <> struct Format<float> {
  using Integer = uint32_t;
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float round = 0x1.8p23f;    // adding it leaves the rounded number in the lowest bits
  static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float largest_exponent = 87;
  static constexpr int exp_terms = 8, trigonometric_terms = 6;
};

template <> struct Format<double> {
  using Integer = uint64_t;
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double round = 0x1.8p52;
  static constexpr double ln2_high = 0x1.62e42fefap-1, ln2_low = 0x1.cf79abc9e3b39p-40;
  static constexpr double largest_exponent = 708;
  static constexpr int exp_terms = 14, trigonometric_terms = 9;
};

/* A structure, since compilers refuse the attribute on an alias template. */
template <typename Number> struct Register {
  typedef Number type __attribute__((vector_size(FUSEPOT_VECTOR_BYTES)));
};
template <typename Number> using Lanes = typename Register<Number>::type;

/* Numbers in a vector. */
template <typename Real> constexpr int width = FUSEPOT_VECTOR_BYTES / sizeof(Real);

template <typename Real> FUSEPOT_INLINE Lanes<Real> load(const Real *address)
{
  return *reinterpret_cast<const Lanes<Real> *>(address);
}

template <typename Real> FUSEPOT_INLINE void store(Real *address, Lanes<Real> value)
{
  *reinterpret_cast<Lanes<Real> *>(address) = value;
}

/* Vector `index` of an array of them. */
template <typename Real> FUSEPOT_INLINE Lanes<Real> at(const Real *array, std::size_t index)
{
  return load(array + index * width<Real>);
}

template <typename Real> FUSEPOT_INLINE void put(Real *array, std::size_t index, Lanes<Real> value)
{
  store(array + index * width<Real>, value);
}

template <typename Real> FUSEPOT_INLINE Lanes<Real> all(Real value)
{
  return Lanes<Real>{} + value;
}

template <typename Real> FUSEPOT_INLINE Lanes<Real> square_root(Lanes<Real> x)
{
  alignas(FUSEPOT_VECTOR_BYTES) Real values[width<Real>];
  store(values, x);
  for (Real &value : values) value = sizeof(Real) == 4 ? __builtin_sqrtf(value) : __builtin_sqrt(value);
  return load(values);
}

/* Coefficients first, first + step, ... of the Taylor series of an exponential: 1/n!, with alternating signs for the
   sine (first = 1, step = 2) and the cosine (first = 0, step = 2). */
template <typename Real, int terms> struct Taylor {
  Real coefficient[terms];
  constexpr Taylor(int first, int step, int sign) : coefficient{}
  {
    double factorial = 1, signs = 1;
    for (int n = 2; n <= first; ++n) factorial *= n;
    for (int k = 0, n = first; k < terms; ++k) {
      coefficient[k] = static_cast<Real>(signs / factorial);
      signs *= sign;
      for (int next = n + step; n < next;) factorial *= ++n;
    }
  }
};

template <typename Real, int terms> FUSEPOT_INLINE Lanes<Real> sum(const Taylor<Real, terms> &series, Lanes<Real> x)
{
  Lanes<Real> value = all(series.coefficient[terms - 1]);
  for (int k = terms - 2; k >= 0; --k) value = value * x + series.coefficient[k];
  return value;
}

/* Sine and cosine of |x| <= pi/4, where their Taylor series need few terms. */
template <typename Real> FUSEPOT_INLINE void sine_and_cosine(Lanes<Real> x, Lanes<Real> &sine, Lanes<Real> &cosine)
{
  constexpr int terms = Format<Real>::trigonometric_terms;
  static constexpr Taylor<Real, terms> sines(1, 2, -1), cosines(0, 2, -1);
  const Lanes<Real> squared = x * x;
  sine = x * sum(sines, squared);
  cosine = sum(cosines, squared);
}

/* e^x; arguments are clamped to where the result is a normal number. */
template <typename Real> FUSEPOT_INLINE Lanes<Real> exponential(Lanes<Real> x)
{
  using F = Format<Real>;
  using Bits = Lanes<typename F::Integer>;
  static constexpr Taylor<Real, F::exp_terms> series(0, 1, 1);
  x = x > F::largest_exponent ? all(F::largest_exponent) : x;    // this way round, NaN stays NaN
  x = x < -F::largest_exponent ? all(-F::largest_exponent) : x;
  const Lanes<Real> shifted = x * Real(1.4426950408889634) + F::round;
  const Lanes<Real> n = shifted - F::round;
  const Lanes<Real> rest = (x - n * F::ln2_high) - n * F::ln2_low;
  const Bits power = (reinterpret_cast<Bits>(shifted) + F::bias) << F::mantissa;    // 2^n; higher bits drop out
  return sum(series, rest) * reinterpret_cast<Lanes<Real>>(power);
}

/* Accurate to rounding of 1, not of small results: it feeds sums of numbers of order one. */
template <typename Real> FUSEPOT_INLINE Lanes<Real> hyperbolic_tangent(Lanes<Real> x)
{
  const Real limit = sizeof(Real) == 4 ? 10 : 20;    // rounds to 1 there
  x = x > limit ? all(limit) : x;
  x = x < -limit ? all(-limit) : x;
  return 1 - 2 / (exponential<Real>(2 * x) + 1);
}

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
