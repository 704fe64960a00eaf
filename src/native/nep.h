/* What the NEP kernel reads: the model in tables laid out for it, and a block of atoms. MIT licence.

   Only plain data here: this header is compiled for several instruction sets, and a function in it that is not inlined
   would be merged over all of them by the linker. */

#ifndef FUSEPOT_NEP_H
#define FUSEPOT_NEP_H

#include <cstddef>
#include <cstdint>

extern "C" {

/* Hyper-parameters; mirrored by fusepot/models/nep_kernel.py. Counts, not the largest index: n_max + 1. */
typedef struct {
  double cutoff, angular_cutoff;   /* Å */
  double zbl_inner, zbl_outer;     /* Å; zbl_outer 0: no ZBL */
  int32_t species;
  int32_t radial, radial_basis;    /* radial functions g_n, basis functions f_k */
  int32_t angular, angular_basis;
  int32_t l_max, four_body, five_body;
  int32_t neurons;
} fusepot_nep_shape;
}

namespace fusepot {

/* S species, D descriptors, H neurons. */
template <typename Real> struct Nep {
  fusepot_nep_shape shape;
  int descriptors;
  int components;            // C_lm for l = 1 ... l_max
  bool one_cutoff;           // radial and angular cutoffs are the same
  Real bias;                 // eV
  const Real *radial;        // (S, S, radial, radial_basis) by species of the center and of the neighbour
  const Real *angular;       // (S, S, angular, angular_basis)
  const Real *hidden;        // (S, H, D) weights, with the descriptors' scale factors
  const Real *hidden_bias;   // (S, H)
  const Real *output;        // (S, H) eV
  const Real *charges;       // (S) atomic numbers, for ZBL
};

/* fusepot_block in any precision. */
template <typename Real> struct Block {
  int32_t atoms;
  const int32_t *first, *species, *other_species;
  const Real *vectors;
  Real *energies, *gradient;
};

}    // namespace fusepot

#endif
