/* What NEP does for a group of atoms, one per lane, between the two passes over their neighbours (nep_kernel.h): from
   moments and radial descriptors to energies, and back to the derivatives by both. MIT licence. */

#ifndef FUSEPOT_NEP_CENTERS_H
#define FUSEPOT_NEP_CENTERS_H

#include "harmonics.h"
#include "radial.h"    // pi
#include "tiles.h"
#include "workspace.h"

namespace fusepot::FUSEPOT_VARIANT {

// See fusepot/models/nep.py for where these come from.
constexpr double four_body_factor = -0.23904572186687872 * 0.25098063309714314 * 4.5;    // -sqrt(2/35) (5/(4 pi))^1.5 9/2
constexpr double five_body_factor = 7.0 / 15 * (3 / (4 * pi)) * (3 / (4 * pi));

/* The atoms of one group, of one species. */
template <typename Real> struct Centers {
  using V = Lanes<Real>;
  static constexpr int lanes = width<Real>;

  const Nep<Real> &model;
  const fusepot_nep_shape &shape;
  Workspace<Real> &work;
  int species;    // of the atoms
  V energy{};

  /* Expects the moments and the radial descriptors in the work space; leaves dE/dA in place of the moments and dE/dq in
     `forces`, and returns the energies. */
  V evaluate()
  {
    form_descriptors();
    apply_network();
    differentiate_moments();
    return energy;
  }

  /* The angular descriptors, from the moments. */
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
};

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
