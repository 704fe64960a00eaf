/* One block of atoms with their neighbours, and the signature of compiled code that evaluates it. Any local potential
   (one whose atoms see their neighbours only) can be offered to a simulation program through these two types.

   Units: Å, eV, eV/Å. Plain C. MIT licence. */

#ifndef FUSEPOT_BLOCK_H
#define FUSEPOT_BLOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Row i holds the pairs first[i] <= p < first[i + 1]. Pairs at or beyond the potential's cutoff have no effect. */
typedef struct {
  int32_t atoms;
  const int32_t *first;         /* (atoms + 1) where the row of each atom begins */
  const int32_t *species;       /* (atoms) index into the potential's elements; negative: energy 0, no gradient */
  const int32_t *other_species; /* (pairs) the neighbour's; null: all 0 */
  const double *vectors;        /* (pairs, 3) x_j - x_i */
  double *energies;             /* (atoms) out: energy of each atom, without reference energies */
  double *gradient;             /* (pairs, 3) out: d(sum of energies)/d(vectors) */
} fusepot_block;

/* Evaluate a block. `model` is immutable: several threads may use it at the same time. Not-a-number in, not-a-number
   out. Returns 0, or 1 if there was not enough memory. */
typedef int (*fusepot_evaluate_block)(const void *model, const fusepot_block *block);

#ifdef __cplusplus
}
#endif

#endif
