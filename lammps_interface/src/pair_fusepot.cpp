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
#include <cstdlib>
#include <cstring>
#include <set>

using namespace LAMMPS_NS;

static constexpr int message_size = 2048;

// LAMMPS's order of a per-atom centroid virial: xx yy zz xy xz yz yx zx zy
static constexpr int centroid_row[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};
static constexpr int centroid_column[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};

PairFusepot::PairFusepot(LAMMPS *lmp) : Pair(lmp)
{
  single_enable = 0;
  restartinfo = 0;    // the deck that reads a restart names the potential again
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;    // the virial is tallied per pair
  centroidstressflag = CENTROID_AVAIL;
}

PairFusepot::~PairFusepot()
{
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
  for (int i = 0; i < narg; i += 2) {
    if (strcmp(arg[i], "precision") != 0)
      error->all(FLERR, "pair_style fusepot: got keyword '{}', expected 'precision'", arg[i]);
    if (i + 1 == narg || (strcmp(arg[i + 1], "float32") != 0 && strcmp(arg[i + 1], "float64") != 0))
      error->all(FLERR, "pair_style fusepot precision: got '{}', expected 'float32' or 'float64'",
                 i + 1 == narg ? "nothing" : arg[i + 1]);
    dtype = arg[i + 1];
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
  const int failed = fusepot::table()->open(arg[2], dtype.c_str(), ntypes, arg + 3, &handle, &cutoff, &hops,
                                            species.data() + 1, summary, message, message_size);
  fail(failed, "pair_coeff: ", message);
  if (comm->me == 0) utils::logmesg(lmp, "{}\n", summary);

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

void PairFusepot::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const fusepot::Atoms atoms = view();
  const bool has_new_lists = neighbor->ago == 0 || topology.row_start.empty();
  if (has_new_lists) {
    topology.build(atoms, is_distributed() ? hops : 1, cutoff + neighbor->skin);
    if (hops > 1) topology.find_reverse(atoms);
    if (!reported) report_cost();
  }
  fusepot_sizes need = fusepot::count(topology, atoms, cutoff);
  const int nodes = need.atoms;
  if (has_new_lists) need = largest_of_all_ranks(need);    // so that all ranks compile at the same time
  if (!graph.holds(need)) reserve(need);
  const int pairs = graph.fill(topology, atoms, cutoff);
  char message[message_size] = "";
  if (fusepot::table()->compute(handle, nodes, pairs, message, message_size))
    error->one(FLERR, std::string("pair_style fusepot: ") + message);
  scatter(pairs);
}

fusepot::Atoms PairFusepot::view() const
{
  return {atom->nlocal, atom->nlocal + atom->nghost, atom->x, atom->tag, atom->type, species.data(),
          list->numneigh, list->firstneigh, NEIGHMASK};
}

fusepot_sizes PairFusepot::largest_of_all_ranks(const fusepot_sizes &mine) const
{
  const int local[3] = {mine.atoms, mine.pairs, mine.neighbors};
  int largest[3];
  MPI_Allreduce(local, largest, 3, MPI_INT, MPI_MAX, world);
  return {largest[0], largest[1], largest[2]};
}

void PairFusepot::reserve(const fusepot_sizes &need)
{
  char message[message_size] = "";
  fusepot_sizes capacity;
  int failed = fusepot::table()->reserve(handle, &need, &capacity, message, message_size);
  if (!failed) {
    graph.allocate(capacity);
    failed = fusepot::table()->bind(handle, &graph.buffers, message, message_size);
  }
  if (failed) error->one(FLERR, std::string("pair_style fusepot: ") + message);
}

/* With g = dE/d(x_j - x_i): force g on i and -g on j, virial -(x_j - x_i) g. LAMMPS sends ghosts' forces home. */
void PairFusepot::scatter(int pairs)
{
  double *const *f = atom->f;
  double sum[6] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
  for (int pair = 0; pair < pairs; ++pair) {
    const double *g = graph.buffers.gradient + 3 * static_cast<size_t>(pair);
    const double *r = graph.buffers.vectors + 3 * static_cast<size_t>(pair);
    const int i = topology.copy[graph.buffers.centers[pair]];
    const int j = topology.neighbor_copy[graph.list_pair[pair]];
    for (int axis = 0; axis < 3; ++axis) {
      f[i][axis] += g[axis];
      f[j][axis] -= g[axis];
    }
    if (!vflag_either) continue;
    const double v[6] = {-r[0] * g[0], -r[1] * g[1], -r[2] * g[2],
                         -0.5 * (r[0] * g[1] + r[1] * g[0]), -0.5 * (r[0] * g[2] + r[2] * g[0]),
                         -0.5 * (r[1] * g[2] + r[2] * g[1])};
    for (int k = 0; k < 6; ++k) sum[k] += v[k];
    if (vflag_atom)
      for (int k = 0; k < 6; ++k) {
        vatom[i][k] += 0.5 * v[k];
        vatom[j][k] += 0.5 * v[k];
      }
    // All of it on the neighbour: with this choice compute heat/flux is exact for potentials of one hop.
    if (cvflag_atom)
      for (int k = 0; k < 9; ++k) cvatom[j][k] -= r[centroid_row[k]] * g[centroid_column[k]];
  }
  if (vflag_global)
    for (int k = 0; k < 6; ++k) virial[k] += sum[k];
  if (!eflag_either) return;
  for (size_t node = 0; node < topology.copy.size() && topology.level[node] == 0; ++node) {
    if (eflag_global) eng_vdwl += graph.buffers.energies[node];
    if (eflag_atom) eatom[topology.copy[node]] += graph.buffers.energies[node];
  }
}

/* Message passing over a wide halo repeats other ranks' work: say how much. */
void PairFusepot::report_cost()
{
  reported = true;
  if (!is_distributed()) return;
  bigint mine[3] = {atom->nlocal, atom->nghost, 0}, all[3];
  for (size_t node = 0; node < topology.copy.size(); ++node) mine[2] += topology.level[node] < hops;
  MPI_Allreduce(mine, all, 3, MPI_LMP_BIGINT, MPI_SUM, world);
  if (comm->me == 0 && all[0] > 0)
    utils::logmesg(lmp,
                   "fusepot: message passing over {} ranks: halo {:.4g} Å, {:.3g} ghosts per owned atom, {:.3g} atoms evaluated "
                   "per owned atom\n",
                   comm->nprocs, comm->get_comm_cutoff(), 1.0 * all[1] / all[0], 1.0 * all[2] / all[0]);
}

double PairFusepot::memory_usage()
{
  return Pair::memory_usage() + graph.bytes();
}
