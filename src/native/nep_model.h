/* A NEP model prepared for the kernel, and its evaluation with the best instructions of this machine. MIT licence. */

#ifndef FUSEPOT_NEP_MODEL_H
#define FUSEPOT_NEP_MODEL_H

#include "nep.h"

#include <string>
#include <vector>

namespace fusepot {

/* The arrays of fusepot/models/nep.py, in its layout: S species, D descriptors, H neurons. */
template <typename Real> struct NepArrays {
  const Real *radial;         // (S, S, radial, radial_basis)
  const Real *angular;        // (S, S, angular, angular_basis)
  const Real *scaler;         // (D)
  const Real *hidden;         // (S, D, H)
  const Real *hidden_bias;    // (S, H)
  const Real *output;         // (S, H)
  const Real *bias;           // one number
  const double *charges;      // (S) atomic numbers; null without ZBL
};

enum class Variant { portable, avx2, avx512 };

/* The variant of this name, or the fastest one that this machine can run where the name is empty. False: it has none of
   this name. */
bool find_variant(const std::string &name, Variant &variant);

template <typename Real> class NepModel {
 public:
  /* Copies the arrays into the kernel's layout; nothing is kept of the originals. */
  NepModel(const fusepot_nep_shape &, const NepArrays<Real> &, Variant);
  NepModel(const NepModel &) = delete;
  NepModel &operator=(const NepModel &) = delete;

  /* Fills all energies and gradients of the block. May throw std::bad_alloc. */
  template <typename Given> void evaluate(const Block<Given> &) const;

 private:
  std::vector<Real> storage;
  Nep<Real> nep{};
  Variant variant;
};

}    // namespace fusepot

#endif
