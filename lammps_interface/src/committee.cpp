#include "committee.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "fmt/format.h"
#include "pair.h"
#include "timer.h"
#include "update.h"
#include "utils.h"

#include <algorithm>

using namespace LAMMPS_NS;

int Committee::read(const std::string &keyword, int at, int narg, char **arg)
{
  const bool is_stop = keyword == "stop";
  const int words = is_stop ? 1 : 2;
  if (at + words > narg)
    error->all(FLERR, "pair_style fusepot {}: got {} values, expected {}", keyword, narg - at,
               is_stop ? "a force deviation in eV/Å" : "a file name and a number of steps");
  if (is_stop) {
    limit = utils::numeric(FLERR, arg[at], false, lmp);
    if (limit <= 0.0) error->all(FLERR, "pair_style fusepot stop: got {}, expected a force deviation above 0", limit);
  } else {
    path = arg[at];
    every = utils::inumeric(FLERR, arg[at + 1], false, lmp);
    if (every <= 0) error->all(FLERR, "pair_style fusepot committee: got {} steps, expected at least 1", every);
  }
  return words;
}

void Committee::reset()
{
  close();
  path.clear();
  every = 0;
  limit = 0.0;
  last = -1;
}

bool Committee::is_due() const
{
  return is_wanted() && update->ntimestep % every == 0 && update->ntimestep != last;
}

void Committee::start(int members)
{
  forces.start(members, atom->nlocal + atom->nghost);
}

void Committee::finish(Pair *pair, const int *species)
{
  comm->reverse_comm(pair);
  const fusepot::Spread mine = forces.spread(atom->nlocal, atom->tag, atom->type, species);
  struct {
    double value;
    int atom;
  } highest{mine.largest, mine.atom}, all_highest;
  int counted = 0;
  for (int i = 0; i < atom->nlocal; ++i) counted += species[atom->type[i]] >= 0;
  double sums[2] = {mine.sum, static_cast<double>(counted)}, all_sums[2];
  MPI_Allreduce(&highest, &all_highest, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  MPI_Allreduce(sums, all_sums, 2, MPI_DOUBLE, MPI_SUM, world);
  MPI_Allreduce(&mine.smallest, &found[2], 1, MPI_DOUBLE, MPI_MIN, world);
  last = update->ntimestep;
  if (all_sums[1] == 0.0) return;
  found[0] = all_highest.value;
  found[1] = all_sums[0] / all_sums[1];
  if (comm->me == 0)
    write(all_highest.atom);
  else
    std::fill(found, found + 3, 0.0);    // compute pair sums over ranks
  if (limit > 0.0 && all_highest.value > limit) {
    if (comm->me == 0)
      utils::logmesg(lmp,
                     "fusepot: step {}: the committee's force deviation on atom {} is {:.4g} eV/Å, above the limit of {:.4g}: the "
                     "run ends here\n",
                     last, all_highest.atom, all_highest.value, limit);
    timer->force_timeout();    // as fix halt does: files are written, and the deck goes on
  }
}

void Committee::write(int highest)
{
  if (!file) {
    file = std::fopen(path.c_str(), "w");
    if (!file) error->one(FLERR, "pair_style fusepot committee: cannot write {}: {}", path, utils::getsyserror());
    fmt::print(file, "# deviation of the force on an atom between the members of a committee, eV/Å, over atoms\n"
                     "# step maximum mean minimum atom_of_maximum\n");
  }
  fmt::print(file, "{} {:.6e} {:.6e} {:.6e} {}\n", last, found[0], found[1], found[2], highest);
  std::fflush(file);
}

void Committee::close()
{
  if (file) std::fclose(file);
  file = nullptr;
}
