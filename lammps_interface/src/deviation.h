/* How far the members of a committee disagree: forces of each member on each atom, and their spread.

   For atom i, eps_i = sqrt(mean over members k of |F_i^k - <F_i>|^2); Zhang et al., Comput. Phys. Commun. 253, 107206
   (2020), section 2.2, where its maximum over atoms tells configurations that a potential does not know. */

#ifndef FUSEPOT_DEVIATION_H
#define FUSEPOT_DEVIATION_H

#include <vector>

namespace fusepot {

struct Spread {
  double largest, sum, smallest;    // eV/Å, over atoms; sum: for their mean
  int atom;                         // ID of the atom with the largest
};

struct Deviation {
  int members = 0;
  std::vector<double> forces;    // (atoms owned and ghost, members, 3), eV/Å

  /* Zero forces on this many atoms. */
  void start(int members, int atoms);

  /* Force g of one member on i and -g on j. */
  void add(int member, int i, int j, const double *g)
  {
    double *on_i = at(i) + 3 * member, *on_j = at(j) + 3 * member;
    for (int axis = 0; axis < 3; ++axis) {
      on_i[axis] += g[axis];
      on_j[axis] -= g[axis];
    }
  }

  /* Ghosts' forces on their way home, as LAMMPS's reverse communication wants them. */
  int pack(int atoms, int first, double *buffer) const;
  void unpack(int atoms, const int *list, const double *buffer);

  /* Over the atoms 0 ... owned - 1 of this rank whose type is handled, once ghosts' forces are home. */
  Spread spread(int owned, const int *id, const int *type, const int *species) const;

 private:
  double *at(int atom) { return forces.data() + 3 * static_cast<std::size_t>(members) * atom; }
  const double *at(int atom) const { return forces.data() + 3 * static_cast<std::size_t>(members) * atom; }
};

}    // namespace fusepot

#endif
