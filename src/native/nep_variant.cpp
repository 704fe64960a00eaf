/* The NEP kernel for one instruction set; compiled once for each, see CMakeLists.txt. MIT licence. */

#include "variants.h"

#include <type_traits>

#include "gather.h"
#include "nep_kernel.h"

namespace fusepot::FUSEPOT_VARIANT {

template <typename Real> static std::size_t bytes(const Nep<Real> &model, int longest_row)
{
  return Workspace<Real>().place(model, longest_row, nullptr);
}

template <typename Real, typename Given>
static void evaluate_all(const Nep<Real> &model, const Block<Given> &block, int longest_row, void *memory)
{
  constexpr int lanes = width<Real>;
  Workspace<Real> work;
  work.place(model, longest_row, memory);
  int32_t lane[lanes];
  int used = 0;
  const auto flush = [&](int species) {
    for (int l = used; l < lanes; ++l) lane[l] = -1;
    gather(model, block, lane, work);
    const Lanes<Real> energies = Group<Real>{model, model.shape, work, species}.evaluate();
    for (int l = 0; l < used; ++l) block.energies[lane[l]] = energies[l];
    scatter(block, work);
    used = 0;
  };
  for (int species = 0; species < model.shape.species; ++species) {
    for (int atom = 0; atom < block.atoms; ++atom) {
      if (block.species[atom] != species) continue;
      lane[used++] = atom;
      if (used == lanes) flush(species);
    }
    if (used) flush(species);
  }
}

std::size_t memory(const Nep<float> &model, int longest_row) { return bytes(model, longest_row); }
std::size_t memory(const Nep<double> &model, int longest_row) { return bytes(model, longest_row); }

void evaluate(const Nep<float> &model, const Block<float> &block, int longest_row, void *memory)
{
  evaluate_all(model, block, longest_row, memory);
}
void evaluate(const Nep<float> &model, const Block<double> &block, int longest_row, void *memory)
{
  evaluate_all(model, block, longest_row, memory);
}
void evaluate(const Nep<double> &model, const Block<double> &block, int longest_row, void *memory)
{
  evaluate_all(model, block, longest_row, memory);
}

}    // namespace fusepot::FUSEPOT_VARIANT
