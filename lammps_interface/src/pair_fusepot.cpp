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
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sys/resource.h>
#include <thread>

using namespace LAMMPS_NS;

static constexpr int message_size = 2048;

// LAMMPS's order of a per-atom centroid virial: xx yy zz xy xz yz yx zx zy
static constexpr int centroid_row[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};
static constexpr int centroid_column[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};

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

void PairFusepot::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const bool compares = committee.is_due();
  if (compares) committee.start(members);
  if (kernel.evaluate)
    compute_blocks(compares);
  else
    compute_graph(compares);
  if (compares) committee.finish(this, species.data());
  if (!reported) report_memory();
  reported = true;
}

void PairFusepot::compute_blocks(bool compares)
{
  const fusepot::Atoms atoms = view();
  const double share = 1.0 / members;    // of each member in the mean
  double all = 0.0;                      // not finite if one of the numbers is not
  for (int next = 0; next < list->inum;) {
    next = block.gather(atoms, list->ilist, next, list->inum, cutoff);
    for (int member = 0; member < members; ++member) {
      if (block.evaluate(kernel, member)) stop("out of memory");
      for (size_t k = 0; k < block.center.size(); ++k) {
        const int i = block.center[k];
        all += block.energies[k];
        tally_energy(i, block.energies[k] * share);
        for (size_t pair = block.first[k]; pair < static_cast<size_t>(block.first[k + 1]); ++pair) {
          double *g = block.gradient.data() + 3 * pair;
          all += g[0] + g[1] + g[2];
          if (compares) committee.forces.add(member, i, block.neighbor[pair], g);
          for (int axis = 0; axis < 3; ++axis) g[axis] *= share;
          tally(i, block.neighbor[pair], block.vectors.data() + 3 * pair, g);
        }
      }
    }
  }
  // The words of NonFiniteEnergy in fusepot/serving/lammps.py.
  if (!std::isfinite(all))
    stop("the potential returned non-finite energies or forces. Look for overlapping atoms, a time step that is too long, or a "
         "configuration far from the training data.");
}

void PairFusepot::compute_graph(bool compares)
{
  const fusepot::Atoms atoms = view();
  const bool has_new_lists = neighbor->ago == 0 || topology.row_start.empty();
  if (has_new_lists) {
    topology.build(atoms, is_distributed() ? hops : 1, cutoff + neighbor->skin);
    if (hops > 1) topology.find_reverse(atoms);
    if (!reported) report_halo();
  }
  const fusepot_sizes sizes = graph.fill(topology, atoms, cutoff);
  const fusepot_sizes need = has_new_lists ? largest_of_all_ranks(sizes) : sizes;    // so that all compile at the same time
  if (!graph.holds(need)) {
    reserve(need);
    graph.fill(topology, atoms, cutoff);
  }
  char message[message_size] = "";
  if (fusepot::table()->compute(handle, sizes.atoms, sizes.pairs, compares, message, message_size))
    stop(message);
  const fusepot_buffers &arrays = graph.buffers;
  const size_t capacity = arrays.capacity.pairs;
  for (size_t pair = 0; pair < static_cast<size_t>(sizes.pairs); ++pair) {
    const int i = topology.copy[arrays.centers[pair]], j = topology.neighbor_copy[graph.list_pair[pair]];
    tally(i, j, arrays.vectors + 3 * pair, arrays.gradient + 3 * pair);
    for (int member = 0; compares && member < members; ++member)
      committee.forces.add(member, i, j, arrays.member_gradients + 3 * (member * capacity + pair));
  }
  for (size_t node = 0; node < topology.copy.size() && topology.level[node] == 0; ++node)
    tally_energy(topology.copy[node], arrays.energies[node]);
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
    graph.allocate(capacity, committee.is_wanted() ? members : 0);
    failed = fusepot::table()->bind(handle, &graph.buffers, message, message_size);
  }
  if (failed) stop(message);
}

/* With g = dE/d(x_j - x_i): force g on i and -g on j, virial -(x_j - x_i) g. LAMMPS sends ghosts' forces home. */
void PairFusepot::tally(int i, int j, const double *r, const double *g)
{
  double *fi = atom->f[i], *fj = atom->f[j];
  for (int axis = 0; axis < 3; ++axis) {
    fi[axis] += g[axis];
    fj[axis] -= g[axis];
  }
  if (!vflag_either) return;
  const double v[6] = {-r[0] * g[0], -r[1] * g[1], -r[2] * g[2],
                       -0.5 * (r[0] * g[1] + r[1] * g[0]), -0.5 * (r[0] * g[2] + r[2] * g[0]),
                       -0.5 * (r[1] * g[2] + r[2] * g[1])};
  if (vflag_global)
    for (int k = 0; k < 6; ++k) virial[k] += v[k];
  if (vflag_atom)
    for (int k = 0; k < 6; ++k) {
      vatom[i][k] += 0.5 * v[k];
      vatom[j][k] += 0.5 * v[k];
    }
  // All of it on the neighbour: with this choice compute heat/flux is exact for potentials of one hop.
  if (cvflag_atom)
    for (int k = 0; k < 9; ++k) cvatom[j][k] -= r[centroid_row[k]] * g[centroid_column[k]];
}

void PairFusepot::tally_energy(int i, double energy)
{
  if (eflag_global) eng_vdwl += energy;
  if (eflag_atom) eatom[i] += energy;
}

/* Message passing over a wide halo repeats other ranks' work: say how much. */
void PairFusepot::report_halo()
{
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

/* What decides how many atoms a machine can hold, after the first step of a run. XLA's own arrays show in the last number
   only. */
void PairFusepot::report_memory()
{
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double mine[3] = {1.0 * atom->nlocal, memory_usage(), list->memory_usage()}, peak = usage.ru_maxrss / 1024.0;
  double sum[3], largest;
  MPI_Reduce(mine, sum, 3, MPI_DOUBLE, MPI_SUM, 0, world);
  MPI_Reduce(&peak, &largest, 1, MPI_DOUBLE, MPI_MAX, 0, world);
  if (comm->me == 0 && sum[0] > 0)
    utils::logmesg(lmp,
                   "fusepot: {:.0f} atoms; per atom {:.0f} bytes of pair style and {:.0f} of neighbor list; largest process {:.0f} "
                   "MiB\n",
                   sum[0], sum[1] / sum[0], sum[2] / sum[0], largest);
}

int PairFusepot::pack_reverse_comm(int n, int first, double *buffer)
{
  return committee.forces.pack(n, first, buffer);
}

void PairFusepot::unpack_reverse_comm(int n, int *list, double *buffer)
{
  committee.forces.unpack(n, list, buffer);
}

double PairFusepot::memory_usage()
{
  return Pair::memory_usage() + block.bytes() + graph.bytes() + topology.bytes();
}
