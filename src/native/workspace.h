/* Scratch memory of the kernel for one group of atoms: everything it touches between gathering the neighbours and
   writing the gradient. Sized once per block, so that rows of any length fit. MIT licence. */

#ifndef FUSEPOT_WORKSPACE_H
#define FUSEPOT_WORKSPACE_H

#include "lanes.h"
#include "nep.h"

#include <type_traits>

namespace fusepot::FUSEPOT_VARIANT {

/* A slot holds one neighbour of each atom of the group, a vector of numbers per quantity. Segments are runs of slots
   whose neighbours are of one species and either all inside the angular cutoff ("inner") or all outside of it. */
template <typename Real> struct Workspace {
  int segments;       // one per species of neighbours; two where the cutoffs differ: inner, outer
  int basis;          // the larger number of basis functions
  int32_t *first;     // (segments + 1) first slot of each segment
  int32_t *cursor;    // (segments, lanes) where the next neighbour goes
  int32_t *pair;      // (slots, lanes) pair of the block, negative where a lane has none
  // (slots) each
  Real *x, *y, *z;                    // pair vector; then the unit vector; at the end the gradient
  Real *r, *inverse;                  // distance, 1 / distance
  Real *envelope, *slope;             // (1 + cos(pi r/rc)) / 2 and its derivative
  Real *inner_envelope, *inner_slope; // the same with the angular cutoff
  Real *g;                            // (slots, angular) angular functions g_n
  Real *moments;                      // (components, angular) A_lm,n; then dE/dA
  Real *descriptors, *forces;         // (D) q and dE/dq
  Real *radial_sums;                  // (radial_basis) sum of f_k over the neighbours of one species
  Real *radial_weights;               // (radial_basis) dE/df_k of a neighbour of one species
  Real *f;                            // (batch, basis) basis functions, or their weights

  /* Lays the arrays out from `memory` on; from null: returns the number of bytes needed. */
  std::size_t place(const Nep<Real> &model, int longest_row, void *memory);
};

constexpr int batch = FUSEPOT_BATCH;    // slots that are worked on together, as many as registers allow

template <typename Real>
std::size_t Workspace<Real>::place(const Nep<Real> &model, int longest_row, void *memory)
{
  const fusepot_nep_shape &shape = model.shape;
  segments = shape.species * (model.one_cutoff ? 1 : 2);
  basis = shape.radial_basis > shape.angular_basis ? shape.radial_basis : shape.angular_basis;
  // In each segment the longest lane counts, and no more than all lanes together.
  const std::size_t lanes = width<Real>, rows = segments < width<Real> ? segments : width<Real>;
  const std::size_t slots = rows * longest_row;
  std::uintptr_t next = reinterpret_cast<std::uintptr_t>(memory);
  const auto take = [&next](auto *&array, std::size_t count) {
    array = reinterpret_cast<std::remove_reference_t<decltype(array)>>(next);
    next = (next + count * sizeof(*array) + 63) / 64 * 64;
  };
  take(first, segments + 1);
  take(cursor, segments * lanes);
  take(pair, slots * lanes);
  Real **const quantities[] = {&x, &y, &z, &r, &inverse, &envelope, &slope};
  for (Real **array : quantities) take(*array, slots * lanes);
  const std::size_t separate = model.one_cutoff ? 0 : slots * lanes;
  take(inner_envelope, separate);
  take(inner_slope, separate);
  take(g, slots * shape.angular * lanes);
  take(moments, model.components * shape.angular * lanes);
  take(descriptors, model.descriptors * lanes);
  take(forces, model.descriptors * lanes);
  take(radial_sums, shape.radial_basis * lanes);
  take(radial_weights, shape.radial_basis * lanes);
  take(f, batch * basis * lanes);
  return next - reinterpret_cast<std::uintptr_t>(memory);
}

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
