#include "pair_fusepot.h"

#include "python_host.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "lammps.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>

using namespace LAMMPS_NS;

PairFusepot::PairFusepot(LAMMPS *lmp) : Pair(lmp), committee(lmp)
{
  single_enable = 0;
  restartinfo = 0;    // the deck that reads a restart names the potential again
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;    // the virial is tallied per pair
  centroidstressflag = CENTROID_AVAIL;
  nextra = 3;    // compute pair: maximum, mean and minimum force deviation of a committee
  pvector = committee.found;
}

PairFusepot::~PairFusepot()
{
  pvector = nullptr;    // the committee's, not ours to free
  if (copymode) return;
  close();
  if (halo > 0.0 && comm->cutghostuser == halo) comm->cutghostuser = 0.0;
}

/* Forget the potential, if one is open. */
void PairFusepot::close()
{
  char message[message_size];
  if (handle >= 0 && fusepot::table()) fusepot::table()->close(handle, message, message_size);
  handle = -1;
  kernel = {};
  block = {};
  graph = {};    // the next potential is to be told about its arrays
  topology = {};
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
  memory->destroy(cutghost);
  allocated = 0;
}

bool PairFusepot::is_distributed() const
{
  return hops > 1 && comm->nprocs > 1;
}

/* Stop every rank with the message of the first rank that failed. Collective. */
void PairFusepot::fail(int failed, const std::string &what, const char *message) const
{
  int mine = failed ? comm->me : comm->nprocs, first;
  MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, world);
  if (first == comm->nprocs) return;
  char text[message_size] = "";
  std::strncpy(text, message, message_size - 1);
  MPI_Bcast(text, message_size, MPI_CHAR, first, world);
  error->all(FLERR, what + text);
}

/* Stop every rank from this one alone. A launcher may kill a job before it has passed on the last words of a rank, so they are
   said early. */
void PairFusepot::stop(const std::string &why) const
{
  const std::string text = "pair_style fusepot: " + why;
  if (comm->nprocs > 1) {
    std::fprintf(stderr, "rank %d: %s\n", comm->me, text.c_str());
    std::fflush(stderr);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  error->one(FLERR, text);
}

/* A launcher of another MPI starts N copies that each believe to be alone: N runs that overwrite each other. */
void PairFusepot::check_launcher() const
{
  int size;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  for (const char *name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char *value = std::getenv(name);
    if (value && size == 1 && std::atoi(value) > 1)
      error->all(FLERR,
                 "pair_style fusepot: the launcher started {} processes, but this one sees a single rank: it belongs to "
                 "another MPI. Use the mpiexec that is installed beside lmp (pip package mpich).",
                 value);
  }
}

void PairFusepot::settings(int narg, char **arg)
{
  check_launcher();
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "pair_style fusepot: got 'units {}', expected 'units metal' (eV, Å, ps). Change the deck's units.",
               update->unit_style);
  close();    // a repeated pair_style needs its pair_coeff again, as another precision may be meant
  dtype = "file";
  engine = "auto";
  committee.reset();
  for (int i = 0; i < narg; i += 2) {
    const std::string keyword = arg[i], value = i + 1 < narg ? arg[i + 1] : "nothing";
    if (keyword == "committee" || keyword == "stop") {
      i += committee.read(keyword, i + 1, narg, arg) - 1;
    } else if (keyword == "precision") {
      if (value != "float32" && value != "float64")
        error->all(FLERR, "pair_style fusepot precision: got '{}', expected 'float32' or 'float64'", value);
      dtype = value;
    } else if (keyword == "engine") {
      if (value != "auto" && value != "xla")
        error->all(FLERR, "pair_style fusepot engine: got '{}', expected 'auto' or 'xla'", value);
      engine = value;
    } else
      error->all(FLERR, "pair_style fusepot: got keyword '{}', expected 'precision', 'engine', 'committee' or 'stop'", keyword);
  }
}

void PairFusepot::allocate()
{
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  memory->create(cutghost, n, n, "pair:cutghost");
  allocated = 1;
}

void PairFusepot::coeff(int narg, char **arg)
{
  const int ntypes = atom->ntypes;
  if (narg != 3 + ntypes || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR,
               "pair_coeff: got {} arguments, expected '* * FILE' and one element name (or NULL) for each of the {} atom types",
               narg, ntypes);
  const std::string problem = fusepot::ensure_attached();
  fail(!problem.empty(), "pair_style fusepot: ", problem.c_str());

  char message[message_size] = "", summary[message_size] = "";
  close();
  allocate();
  species.assign(ntypes + 1, -1);
  const int failed = fusepot::table()->open(arg[2], dtype.c_str(), engine.c_str(), ntypes, arg + 3, &handle, &cutoff, &hops,
                                            &members, species.data() + 1, &kernel, summary, message, message_size);
  fail(failed, "pair_coeff: ", message);
  if (comm->me == 0) utils::logmesg(lmp, "{}\n", summary);
  if (committee.is_wanted() && members == 1)
    error->all(FLERR,
               "pair_style fusepot committee: got a single potential, expected a committee of several. Join potentials with "
               "'fusepot committee FILE1 FILE2 ... --out FILE'.");
  comm_reverse = committee.is_wanted() ? 3 * members : 0;

  const auto null = std::find(species.begin() + 1, species.end(), -1);
  if (null != species.end() && force->pair == this)    // hybrid styles give such a type to another style
    error->all(FLERR, "pair_coeff: atom type {} has no element (NULL); name one, or use pair_style hybrid.",
               null - species.begin());
  for (int i = 1; i <= ntypes; ++i)
    for (int j = i; j <= ntypes; ++j) setflag[i][j] = species[i] >= 0 && species[j] >= 0;
}

void PairFusepot::init_style()
{
  if (!force->newton_pair)
    error->all(FLERR, "pair_style fusepot: got 'newton off', expected 'newton on': forces on ghost atoms are sent home.");
  if (!atom->tag_enable)
    error->all(FLERR, "pair_style fusepot: got 'atom_modify id no', expected atom IDs: they tell copies of an atom apart.");
  // Ghost atoms need neighbour lists of their own where messages travel across ranks.
  ghostneigh = is_distributed();
  neighbor->add_request(this, NeighConst::REQ_FULL | (ghostneigh ? NeighConst::REQ_GHOST : 0));
  if (is_distributed()) set_halo();
  reported = false;
}

/* Every atom within `hops` pairs of an owned atom must be a ghost. A halo the deck asks for is never overruled. */
void PairFusepot::set_halo()
{
  static std::set<double> ours;    // what any pair style of this process has set is not the deck's wish
  const double needed = hops * (cutoff + neighbor->skin);
  const double present = comm->cutghostuser;
  const bool by_deck = present > 0.0 && !ours.count(present);
  if (comm->mode != Comm::SINGLE)
    error->all(FLERR, "pair_style fusepot: got 'comm_modify mode multi', expected 'mode single' for message passing.");
  if (by_deck && present < needed)
    error->all(FLERR,
               "pair_style fusepot: got 'comm_modify cutoff {:.6g}', expected at least {:.6g} Å: the potential passes messages "
               "over {} cutoffs of {:.6g} Å plus the skin. Remove comm_modify or enlarge its cutoff.",
               present, needed, hops, cutoff);
  if (by_deck) return;
  comm->cutghostuser = present == halo ? needed : std::max(present, needed);
  ours.insert(halo = comm->cutghostuser);
}

double PairFusepot::init_one(int i, int j)
{
  cutghost[i][j] = cutghost[j][i] = cutoff;
  return cutoff;
}
