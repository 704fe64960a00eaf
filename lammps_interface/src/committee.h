/* `pair_style fusepot ... committee FILE N [stop LIMIT]`: how far the members of a committee disagree, written every N
   steps, and the end of a run in which they disagree too much. */

#ifndef LMP_FUSEPOT_COMMITTEE_H
#define LMP_FUSEPOT_COMMITTEE_H

#include "deviation.h"
#include "lmptype.h"
#include "pointers.h"

#include <cstdio>
#include <string>

namespace LAMMPS_NS {

class Committee : protected Pointers {
 public:
  explicit Committee(class LAMMPS *lmp) : Pointers(lmp) {}
  ~Committee() override { close(); }

  /* Read the values of the keyword "committee" or "stop" from arg[at] on. Returns how many words were used. */
  int read(const std::string &keyword, int at, int narg, char **arg);
  void reset();

  bool is_wanted() const { return every > 0; }
  bool is_due() const;

  /* Zero the members' forces on all atoms; then forces.add() for each pair; then finish(). */
  void start(int members);
  fusepot::Deviation forces;

  /* Send ghosts' forces home through the pair style, reduce over ranks, write a line, end the run above the limit.
     Collective. `species` by type: atoms of types that are not handled do not count. */
  void finish(class Pair *, const int *species);

  double found[3] = {0.0, 0.0, 0.0};    // maximum, mean, minimum at the last such step, eV/Å

 private:
  std::string path;
  int every = 0;
  double limit = 0.0;    // eV/Å, 0: none
  bigint last = -1;      // the step of the last line
  FILE *file = nullptr;

  void write(int atom);
  void close();
};

}    // namespace LAMMPS_NS

#endif
