/* From rows of pairs to slots of lanes and back. MIT licence. */

#ifndef FUSEPOT_GATHER_H
#define FUSEPOT_GATHER_H

#include "workspace.h"

namespace fusepot::FUSEPOT_VARIANT {

/* Compresses the rows of the atoms in `lane` (width of them; negative: unused) into slots, neighbours within the cutoff
   only, ordered by segment. Empty places lie at the cutoff, where every function is zero. Zeroes the gradient of pairs
   beyond the cutoff. */
template <typename Real, typename Given>
void gather(const Nep<Real> &model, const Block<Given> &block, const int32_t *lane, Workspace<Real> &work)
{
  constexpr int lanes = width<Real>;
  const Real cutoff = model.shape.cutoff, squared_cutoff = cutoff * cutoff;
  const Real inner = model.shape.angular_cutoff, squared_inner = inner * inner;
  const int segments = work.segments;
  const auto squared = [&block](int p) {
    const Given *vector = block.vectors + 3 * static_cast<std::size_t>(p);
    const Real x = vector[0], y = vector[1], z = vector[2];
    return x * x + y * y + z * z;
  };
  const auto segment_of = [&](int p, Real distance) {
    const int species = block.other_species ? block.other_species[p] : 0;
    return model.one_cutoff ? species : 2 * species + (distance >= squared_inner);
  };

  // Comparisons are written so that NaN counts as near: it must reach the result.
  int32_t *const cursor = work.cursor, *const first = work.first;
  for (int k = 0; k < segments * lanes; ++k) cursor[k] = 0;
  first[0] = 0;
  if (segments > 1) {
    for (int l = 0; l < lanes && lane[l] >= 0; ++l)
      for (int p = block.first[lane[l]]; p < block.first[lane[l] + 1]; ++p)
        if (const Real distance = squared(p); !(distance >= squared_cutoff)) ++cursor[segment_of(p, distance) * lanes + l];
    for (int s = 0; s < segments; ++s) {
      int longest = 0;
      for (int l = 0; l < lanes; ++l) {
        longest = cursor[s * lanes + l] > longest ? cursor[s * lanes + l] : longest;
        cursor[s * lanes + l] = first[s];
      }
      first[s + 1] = first[s] + longest;
    }
  }
  for (int l = 0; l < lanes && lane[l] >= 0; ++l)
    for (int p = block.first[lane[l]]; p < block.first[lane[l] + 1]; ++p) {
      const Real distance = squared(p);
      const std::size_t start = 3 * static_cast<std::size_t>(p);
      if (distance >= squared_cutoff) {
        for (int axis = 0; axis < 3; ++axis) block.gradient[start + axis] = 0;
        continue;
      }
      const int place = lanes * cursor[(segments > 1 ? segment_of(p, distance) : 0) * lanes + l]++ + l;
      work.pair[place] = p;
      work.x[place] = block.vectors[start];
      work.y[place] = block.vectors[start + 1];
      work.z[place] = block.vectors[start + 2];
    }
  if (segments == 1) {
    first[1] = 0;
    for (int l = 0; l < lanes; ++l) first[1] = cursor[l] > first[1] ? cursor[l] : first[1];
  }
  for (int s = 0; s < segments; ++s)
    for (int l = 0; l < lanes; ++l)
      for (int slot = cursor[s * lanes + l]; slot < first[s + 1]; ++slot) {
        const int place = lanes * slot + l;
        work.pair[place] = -1;
        work.x[place] = cutoff;
        work.y[place] = work.z[place] = 0;
      }
}

/* Writes the gradients that have replaced the vectors in the slots. */
template <typename Real, typename Given> void scatter(const Block<Given> &block, const Workspace<Real> &work)
{
  constexpr int lanes = width<Real>;
  const int places = lanes * work.first[work.segments];
  for (int l = 0; l < lanes; ++l)
    for (int place = l; place < places; place += lanes) {
      if (work.pair[place] < 0) continue;
      Given *gradient = block.gradient + 3 * static_cast<std::size_t>(work.pair[place]);
      gradient[0] = work.x[place];
      gradient[1] = work.y[place];
      gradient[2] = work.z[place];
    }
}

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
