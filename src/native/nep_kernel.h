/* NEP for a group of atoms, one per lane: energies and the gradient with respect to pair vectors. MIT licence.

   The formulas are those of fusepot/models/nep.py, in two passes over the neighbours. The first adds up moments
   A_n,lm = sum_j g_n C_lm and radial sums, nep_centers.h makes of them the energies and dE/dA, dE/dq, and the second
   gives each pair its gradient. The atoms of a group are of one species and the neighbours of a segment too, so
   coefficients are scalars. */

#ifndef FUSEPOT_NEP_KERNEL_H
#define FUSEPOT_NEP_KERNEL_H

#include "harmonics.h"
#include "nep_centers.h"
#include "radial.h"
#include "tiles.h"
#include "workspace.h"

namespace fusepot::FUSEPOT_VARIANT {

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
    energy = Centers<Real>{model, shape, work, species}.evaluate();
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
