#include "arrays.h"

#include <algorithm>
#include <cstddef>

using std::size_t;

namespace fusepot {

bool GraphArrays::holds(const fusepot_sizes &need) const
{
  const fusepot_sizes &have = buffers.capacity;
  return is_allocated() && need.atoms <= have.atoms && need.pairs <= have.pairs && need.neighbors <= have.neighbors;
}

void GraphArrays::allocate(const fusepot_sizes &capacity, int members)
{
  const size_t atoms = capacity.atoms, pairs = capacity.pairs;
  integers.assign(3 * pairs + atoms, 0);
  reals.assign((6 + 3 * members) * pairs + atoms, 0.0);
  flags.assign(atoms, 0);
  list_pair.resize(pairs);
  buffers.capacity = capacity;
  buffers.centers = integers.data();
  buffers.others = buffers.centers + pairs;
  buffers.reverse = buffers.others + pairs;
  buffers.species = buffers.reverse + pairs;
  buffers.vectors = reals.data();
  buffers.gradient = buffers.vectors + 3 * pairs;
  buffers.energies = buffers.gradient + 3 * pairs;
  buffers.member_gradients = members ? buffers.energies + atoms : nullptr;
  buffers.counted = flags.data();
}

fusepot_sizes GraphArrays::fill(const Topology &topology, const Atoms &atoms, double cutoff)
{
  const double cutoff_squared = cutoff * cutoff;
  const int nodes = static_cast<int>(topology.copy.size());
  const int room_for_pairs = is_allocated() && nodes <= buffers.capacity.atoms ? buffers.capacity.pairs : 0;
  graph_pair.resize(topology.neighbor_copy.size());
  int pairs = 0, longest = 0;
  for (int node = 0; node < nodes; ++node) {
    const double *a = atoms.x[topology.copy[node]];
    const int before = pairs;
    for (int k = topology.row_start[node]; k < topology.row_start[node + 1]; ++k) {
      const double *b = atoms.x[topology.neighbor_copy[k]];
      const double dx = b[0] - a[0], dy = b[1] - a[1], dz = b[2] - a[2];
      graph_pair[k] = -1;
      if (dx * dx + dy * dy + dz * dz >= cutoff_squared) continue;
      if (pairs < room_for_pairs) {
        buffers.centers[pairs] = node;
        buffers.others[pairs] = topology.neighbor_node[k];
        double *vector = buffers.vectors + 3 * static_cast<size_t>(pairs);
        vector[0] = dx;
        vector[1] = dy;
        vector[2] = dz;
        list_pair[pairs] = k;
      }
      graph_pair[k] = pairs++;
    }
    longest = std::max(longest, pairs - before);
  }
  const fusepot_sizes sizes{nodes, pairs, longest};
  if (!holds(sizes)) return sizes;

  for (int pair = 0; pair < pairs; ++pair) {
    const int back = topology.reverse[list_pair[pair]];
    buffers.reverse[pair] = back >= 0 && graph_pair[back] >= 0 ? graph_pair[back] : buffers.capacity.pairs;
  }
  for (int node = 0; node < buffers.capacity.atoms; ++node) {
    // Types as well: a fix may exchange them without new neighbour lists.
    buffers.species[node] = node < nodes ? atoms.species[atoms.type[topology.copy[node]]] : 0;
    buffers.counted[node] = node < nodes && topology.level[node] == 0;
  }
  pad(pairs, cutoff);
  return sizes;
}

/* Pairs without effect: at the cutoff, so that no formula meets a zero distance. */
void GraphArrays::pad(int pairs, double cutoff)
{
  const int capacity = buffers.capacity.pairs;
  for (int pair = pairs; pair < capacity; ++pair) {
    buffers.centers[pair] = buffers.others[pair] = buffers.capacity.atoms - 1;
    buffers.reverse[pair] = capacity;
    double *vector = buffers.vectors + 3 * static_cast<size_t>(pair);
    vector[0] = cutoff;
    vector[1] = vector[2] = 0.0;
  }
}

double GraphArrays::bytes() const
{
  return sizeof(int) * static_cast<double>(integers.size() + list_pair.size() + graph_pair.size()) +
      sizeof(double) * static_cast<double>(reals.size());
}

}    // namespace fusepot
