/* NEP for a group of atoms, one per lane: energies and the gradient with respect to pair vectors. MIT licence.

   The formulas are those of fusepot/models/nep.py, in two passes over the neighbours: moments A_n,lm = sum_j g_n C_lm and
   radial sums; from them descriptors, the network, and dE/dA; then the gradient of each pair. The atoms of a group are of
   one species and the neighbours of a segment too, so coefficients are scalars. */

#ifndef FUSEPOT_NEP_KERNEL_H
#define FUSEPOT_NEP_KERNEL_H

#include "harmonics.h"
#include "radial.h"
#include "workspace.h"

namespace fusepot::FUSEPOT_VARIANT {

// See fusepot/models/nep.py for where these come from.
constexpr double four_body_factor = -0.23904572186687872 * 0.25098063309714314 * 4.5;    // -sqrt(2/35) (5/(4 pi))^1.5 9/2
constexpr double five_body_factor = 7.0 / 15 * (3 / (4 * pi)) * (3 / (4 * pi));

/* Calls f(size, start) for tiles of up to `most` of the numbers 0 ... count - 1, with the size known at compile time. */
template <int most, typename Function> FUSEPOT_INLINE void in_tiles(int count, Function f, int start = 0)
{
  for (; count - start >= most; start += most) f(std::integral_constant<int, most>(), start);
  if constexpr (most > 1) in_tiles<most - 1>(count, f, start);
}

constexpr int half = batch / 2;    // slots together in the second pass, which needs more registers

/* The atoms of one group; their neighbours are in the work space. */
template <typename Real> struct Group {
  using V = Lanes<Real>;
  static constexpr int lanes = width<Real>;

  const Nep<Real> &model;
  const fusepot_nep_shape &shape;
  Workspace<Real> &work;
  int species;    // of the atoms
  V energy{};

  FUSEPOT_INLINE V at(const Real *array, std::size_t index) const { return load(array + index * lanes); }
  FUSEPOT_INLINE void put(Real *array, std::size_t index, V value) const { store(array + index * lanes, value); }

  const Real *radial_table(int other) const
  {
    return model.radial + static_cast<std::size_t>(species * shape.species + other) * shape.radial * shape.radial_basis;
  }
  const Real *angular_table(int other) const
  {
    return model.angular + static_cast<std::size_t>(species * shape.species + other) * shape.angular * shape.angular_basis;
  }
  bool is_inner(int segment) const { return model.one_cutoff || segment % 2 == 0; }
  int other_species(int segment) const { return model.one_cutoff ? segment : segment / 2; }

  /* All of it; leaves the gradient in the work space's x, y, z and returns the energies. */
  V evaluate()
  {
    sum_over_neighbors();
    form_descriptors();
    apply_network();
    differentiate_moments();
    differentiate_neighbors();
    return energy;
  }

  /* f_k = (T_k(x) + 1)/2 envelope, x = 2 (r/rc - 1)^2 - 1, for each of `size` slots from `slot` on into work.f. */
  template <int size> FUSEPOT_INLINE void basis(int slot, double cutoff, const Real *envelope, int count) const
  {
    for (int q = 0; q < size; ++q) {
      const V distance = at(work.r, slot + q) * Real(1 / cutoff) - 1, scale = Real(0.5) * at(envelope, slot + q);
      const V x = 2 * distance * distance - 1, twice = 2 * x;
      V previous = x, present = all(Real(1));    // T_-1 = T_1
      for (int k = 0; k < count; ++k) {
        put(work.f, k * size + q, (present + 1) * scale);
        const V next = twice * present - previous;
        previous = present;
        present = next;
      }
    }
  }

  template <int size> FUSEPOT_INLINE void add_radial(int slot) const
  {
    basis<size>(slot, shape.cutoff, work.envelope, shape.radial_basis);
    for (int k = 0; k < shape.radial_basis; ++k) {
      V sum = at(work.radial_sums, k);
      for (int q = 0; q < size; ++q) sum += at(work.f, k * size + q);
      put(work.radial_sums, k, sum);
    }
  }

  template <int size> FUSEPOT_INLINE void add_angular(int slot, const Real *table) const
  {
    if (!model.one_cutoff || shape.angular_basis > shape.radial_basis)    // else they are there already
      basis<size>(slot, shape.angular_cutoff, model.one_cutoff ? work.envelope : work.inner_envelope, shape.angular_basis);
    V C[size][most_components];
    for (int q = 0; q < size; ++q)
      racah<Real>(at(work.x, slot + q), at(work.y, slot + q), at(work.z, slot + q), shape.l_max, C[q]);
    in_tiles<5>(shape.angular, [&](auto tile, int n) {
      V g[size][tile]{};
      for (int k = 0; k < shape.angular_basis; ++k)
        for (int t = 0; t < tile; ++t)
          for (int q = 0; q < size; ++q) g[q][t] += table[(n + t) * shape.angular_basis + k] * at(work.f, k * size + q);
      for (int q = 0; q < size; ++q)
        for (int t = 0; t < tile; ++t) put(work.g, (slot + q) * shape.angular + n + t, g[q][t]);
      for (int lm = 0; lm < model.components; ++lm)
        for (int t = 0; t < tile; ++t) {
          V moment = at(work.moments, lm * shape.angular + n + t);
          for (int q = 0; q < size; ++q) moment += g[q][t] * C[q][lm];
          put(work.moments, lm * shape.angular + n + t, moment);
        }
    });
  }

  template <int size> FUSEPOT_INLINE void add(int slot, bool inner, const Real *table) const
  {
    for (int q = slot; q < slot + size; ++q) {
      const V x = at(work.x, q), y = at(work.y, q), z = at(work.z, q);
      const V r = square_root<Real>(x * x + y * y + z * z), inverse = 1 / r;
      put(work.r, q, r);
      put(work.inverse, q, inverse);
      put(work.x, q, x * inverse);
      put(work.y, q, y * inverse);
      put(work.z, q, z * inverse);
      V envelope, slope;
      cut<Real>(r, shape.cutoff, envelope, slope);
      put(work.envelope, q, envelope);
      put(work.slope, q, slope);
      if (!inner || model.one_cutoff) continue;
      cut<Real>(r, shape.angular_cutoff, envelope, slope);
      put(work.inner_envelope, q, envelope);
      put(work.inner_slope, q, slope);
    }
    add_radial<size>(slot);
    if (inner) add_angular<size>(slot, table);
  }

  void sum_over_neighbors()
  {
    for (int k = 0; k < model.components * shape.angular; ++k) put(work.moments, k, V{});
    for (int d = 0; d < shape.radial; ++d) put(work.descriptors, d, V{});
    for (int segment = 0; segment < work.segments; ++segment) {
      for (int k = 0; k < shape.radial_basis; ++k) put(work.radial_sums, k, V{});
      const bool inner = is_inner(segment);
      const Real *angular = angular_table(other_species(segment));
      int slot = work.first[segment];
      const int last = work.first[segment + 1];
      for (; slot + batch <= last; slot += batch) add<batch>(slot, inner, angular);
      for (; slot < last; ++slot) add<1>(slot, inner, angular);
      // g_n is linear in f_k, so the sum over neighbours comes first.
      const Real *c = radial_table(other_species(segment));
      for (int n = 0; n < shape.radial; ++n) {
        V q = at(work.descriptors, n);
        for (int k = 0; k < shape.radial_basis; ++k) q += *c++ * at(work.radial_sums, k);
        put(work.descriptors, n, q);
      }
    }
  }

  void form_descriptors() const
  {
    const int stride = shape.angular * lanes;    // from one component of a moment to the next
    for (int n = 0; n < shape.angular; ++n) {
      const Real *A = work.moments + n * lanes;
      int d = shape.radial + n;
      V vector_power{};
      for (int l = 1, lm = 0; l <= shape.l_max; ++l, d += shape.angular) {
        V power{};
        for (const int end = lm + 2 * l + 1; lm < end; ++lm) power += load(A + lm * stride) * load(A + lm * stride);
        put(work.descriptors, d, Real(power_factor(l)) * power);
        if (l == 1) vector_power = power;
      }
      if (shape.four_body) {
        V slope[5];
        put(work.descriptors, d, Real(four_body_factor) * cubic_invariant<Real>(A + 3 * stride, stride, slope));
        d += shape.angular;
      }
      if (shape.five_body) put(work.descriptors, d, Real(five_body_factor) * vector_power * vector_power);
    }
  }

  /* Some neurons at a time: their energy, and their part of dE/dq. */
  template <int size> FUSEPOT_INLINE void apply_neurons(int h)
  {
    const int D = model.descriptors;
    const std::size_t row = static_cast<std::size_t>(species) * shape.neurons + h;
    const Real *w = model.hidden + row * D;
    V z[size];
    for (int k = 0; k < size; ++k) z[k] = all(-model.hidden_bias[row + k]);
    for (int d = 0; d < D; ++d)
      for (int k = 0; k < size; ++k) z[k] += w[k * D + d] * at(work.descriptors, d);
    for (int k = 0; k < size; ++k) {
      const V activation = hyperbolic_tangent<Real>(z[k]);
      energy += model.output[row + k] * activation;
      z[k] = model.output[row + k] * (1 - activation * activation);
    }
    for (int d = 0; d < D; ++d) {
      V force = at(work.forces, d);
      for (int k = 0; k < size; ++k) force += w[k * D + d] * z[k];
      put(work.forces, d, force);
    }
  }

  void apply_network()
  {
    for (int d = 0; d < model.descriptors; ++d) put(work.forces, d, V{});
    energy = all(-model.bias);
    in_tiles<6>(shape.neurons, [&](auto tile, int h) { apply_neurons<tile>(h); });
  }

  /* Replaces the moments by dE/dA. */
  void differentiate_moments() const
  {
    const int stride = shape.angular * lanes;
    for (int n = 0; n < shape.angular; ++n) {
      Real *A = work.moments + n * lanes;
      int d = shape.radial + shape.l_max * shape.angular + n;
      V slope[5], by_cubic{}, by_vector{};    // dE/d(cubic invariant), dE/d(sum of A_1m^2)
      if (shape.four_body) {
        cubic_invariant<Real>(A + 3 * stride, stride, slope);
        by_cubic = Real(four_body_factor) * at(work.forces, d);
        d += shape.angular;
      }
      if (shape.five_body) {
        V power{};
        for (int m = 0; m < 3; ++m) power += load(A + m * stride) * load(A + m * stride);
        by_vector = Real(2 * five_body_factor) * power * at(work.forces, d);
      }
      for (int l = 1, lm = 0; l <= shape.l_max; ++l) {
        V factor = Real(power_factor(l)) * at(work.forces, shape.radial + (l - 1) * shape.angular + n);
        if (l == 1) factor += by_vector;
        for (const int start = lm, end = lm + 2 * l + 1; lm < end; ++lm) {
          V derivative = 2 * factor * load(A + lm * stride);
          if (l == 2 && shape.four_body) derivative += by_cubic * slope[lm - start];
          store(A + lm * stride, derivative);
        }
      }
    }
  }

  /* The gradient of `size` slots from `slot` on, which replaces their unit vectors. */
  template <int size> FUSEPOT_INLINE void differentiate(int slot, bool inner, const Real *table, int other)
  {
    V slope[size], across[size][3];    // dE/dr, and the gradient across the direction
    if (inner)
      differentiate_angular<size>(slot, table, slope, across);
    else
      for (int q = 0; q < size; ++q) slope[q] = across[q][0] = across[q][1] = across[q][2] = V{};
    for (int q = 0; q < size; ++q) {
      const V r = at(work.r, slot + q);
      slope[q] += slope_of_basis<Real>(r, shape.cutoff, at(work.envelope, slot + q), at(work.slope, slot + q),
                                       work.radial_weights, shape.radial_basis, 1);
      if (shape.zbl_outer > 0)
        slope[q] += repulsion<Real>(r, shape.zbl_inner, shape.zbl_outer, model.charges[species], model.charges[other],
                                    energy);
      put(work.x, slot + q, across[q][0] + slope[q] * at(work.x, slot + q));
      put(work.y, slot + q, across[q][1] + slope[q] * at(work.y, slot + q));
      put(work.z, slot + q, across[q][2] + slope[q] * at(work.z, slot + q));
    }
  }

  template <int size> FUSEPOT_INLINE void differentiate_angular(int slot, const Real *table, V *slope, V (*across)[3])
  {
    V C[size][most_components], P[size][most_components];    // P = dE/dC
    for (int q = 0; q < size; ++q)
      racah<Real>(at(work.x, slot + q), at(work.y, slot + q), at(work.z, slot + q), shape.l_max, C[q]);
    in_tiles<5>(shape.angular, [&](auto tile, int n) {
      V g[size][tile], by_g[size][tile]{};    // by_g = dE/dg
      for (int q = 0; q < size; ++q)
        for (int t = 0; t < tile; ++t) g[q][t] = at(work.g, (slot + q) * shape.angular + n + t);
      for (int lm = 0; lm < model.components; ++lm) {
        V sum[size];
        for (int q = 0; q < size; ++q) sum[q] = n == 0 ? V{} : P[q][lm];
        for (int t = 0; t < tile; ++t) {
          const V by_moment = at(work.moments, lm * shape.angular + n + t);
          for (int q = 0; q < size; ++q) {
            by_g[q][t] += by_moment * C[q][lm];
            sum[q] += by_moment * g[q][t];
          }
        }
        for (int q = 0; q < size; ++q) P[q][lm] = sum[q];
      }
      for (int k = 0; k < shape.angular_basis; ++k)
        for (int q = 0; q < size; ++q) {
          V weight = n == 0 ? V{} : at(work.f, k * size + q);
          for (int t = 0; t < tile; ++t) weight += table[(n + t) * shape.angular_basis + k] * by_g[q][t];
          put(work.f, k * size + q, weight);
        }
    });
    const Real *envelope = model.one_cutoff ? work.envelope : work.inner_envelope;
    const Real *d_envelope = model.one_cutoff ? work.slope : work.inner_slope;
    for (int q = 0; q < size; ++q) {
      const V x = at(work.x, slot + q), y = at(work.y, slot + q), z = at(work.z, slot + q);
      V X, Y, Z;
      racah_gradient<Real>(x, y, z, shape.l_max, P[q], X, Y, Z);
      const V along = x * X + y * Y + z * Z, inverse = at(work.inverse, slot + q);
      across[q][0] = (X - along * x) * inverse;
      across[q][1] = (Y - along * y) * inverse;
      across[q][2] = (Z - along * z) * inverse;
      slope[q] = slope_of_basis<Real>(at(work.r, slot + q), shape.angular_cutoff, at(envelope, slot + q),
                                      at(d_envelope, slot + q), work.f + q * lanes, shape.angular_basis, size);
    }
  }

  void differentiate_neighbors()
  {
    for (int segment = 0; segment < work.segments; ++segment) {
      const int other = other_species(segment);
      const Real *c = radial_table(other), *angular = angular_table(other);
      for (int k = 0; k < shape.radial_basis; ++k) {
        V weight{};
        for (int n = 0; n < shape.radial; ++n) weight += c[n * shape.radial_basis + k] * at(work.forces, n);
        put(work.radial_weights, k, weight);
      }
      const bool inner = is_inner(segment);
      int slot = work.first[segment];
      const int last = work.first[segment + 1];
      for (; slot + half <= last; slot += half) differentiate<half>(slot, inner, angular, other);
      for (; slot < last; ++slot) differentiate<1>(slot, inner, angular, other);
    }
  }
};

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
