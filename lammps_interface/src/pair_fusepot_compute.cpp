/* The hot half of pair_style fusepot: one step. */

#include "pair_fusepot.h"

#include "python_host.h"

#include "atom.h"
#include "comm.h"
#include "lammps.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "utils.h"

#include <cmath>
#include <sys/resource.h>

using namespace LAMMPS_NS;

// LAMMPS's order of a per-atom centroid virial: xx yy zz xy xz yz yx zx zy
static constexpr int centroid_row[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};
static constexpr int centroid_column[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};

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
