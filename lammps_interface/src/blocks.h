/* Blocks of atoms for compiled code, see block.h: gathered from LAMMPS's neighbour list, evaluated and forgotten one
   after the other, so that what is in use fits in a processor's cache however many atoms there are. */

#ifndef FUSEPOT_BLOCKS_H
#define FUSEPOT_BLOCKS_H

#include "border.h"
#include "topology.h"

#include <vector>

namespace fusepot {

struct BlockArrays {
  std::vector<int> center;      // atom of the block -> local index
  std::vector<int32_t> first;   // atom of the block -> its first pair; one more entry at the end
  std::vector<int> neighbor;    // pair -> local index of the neighbour's copy
  std::vector<double> vectors;  // (pairs, 3) x_j - x_i, Å
  std::vector<double> energies; // (atoms) out: eV, reference energies included, of one member
  std::vector<double> gradient; // (pairs, 3) out: eV/Å, of one member

  /* Take in the atoms list[begin], list[begin + 1], ... with their neighbours closer than the cutoff, until the block is
     full or `end` is reached; atoms and neighbours of types that are not handled are left out. Returns where the next
     block begins. */
  int gather(const Atoms &, const int *list, int begin, int end, double cutoff);

  /* Fill energies and gradient by one member. Returns what the kernel returns: 0 if all is well. */
  int evaluate(const fusepot_kernel &, int member);

  double bytes() const;

 private:
  std::vector<int32_t> species, neighbor_species;
};

}    // namespace fusepot

#endif
