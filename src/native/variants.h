/* The instruction sets that the kernel is compiled for. MIT licence. */

#ifndef FUSEPOT_VARIANTS_H
#define FUSEPOT_VARIANTS_H

#include "nep.h"

/* `memory`: bytes of scratch memory for blocks whose longest row has this many pairs. `evaluate`: fills the energies of
   the block's atoms whose species the model has, and the gradient of their rows; `memory` is aligned to 64 bytes. */
#define FUSEPOT_DECLARE_VARIANT(name)                                              \
  namespace fusepot::name {                                                        \
  std::size_t memory(const Nep<float> &, int longest_row);                         \
  std::size_t memory(const Nep<double> &, int longest_row);                        \
  void evaluate(const Nep<float> &, const Block<float> &, int longest_row, void *memory);   \
  void evaluate(const Nep<float> &, const Block<double> &, int longest_row, void *memory);  \
  void evaluate(const Nep<double> &, const Block<double> &, int longest_row, void *memory); \
  }

FUSEPOT_DECLARE_VARIANT(portable)
#ifdef FUSEPOT_X86
FUSEPOT_DECLARE_VARIANT(avx2)
FUSEPOT_DECLARE_VARIANT(avx512)
#endif

#endif
