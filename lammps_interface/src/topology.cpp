#include "topology.h"

#include <cstddef>
#include <unordered_map>

using std::size_t;

namespace fusepot {

void Topology::build(const Atoms &atoms, int hops, double reach)
{
  copy.clear();
  level.clear();
  row_start.assign(1, 0);
  neighbor_copy.clear();
  neighbor_node.clear();

  std::unordered_map<int, int> node_of_id;
  node_of_id.reserve(2 * static_cast<size_t>(atoms.owned) + 16);
  std::vector<int> node_of_copy(atoms.total, -1);    // saves most look-ups by ID
  for (int i = 0; i < atoms.owned; ++i) {
    if (atoms.species[atoms.type[i]] < 0) continue;
    node_of_id.emplace(atoms.id[i], static_cast<int>(copy.size()));
    node_of_copy[i] = static_cast<int>(copy.size());
    copy.push_back(i);
    level.push_back(0);
  }

  // Nodes are appended in order of their level, so one pass visits each level after the one before it.
  const double reach_squared = reach * reach;
  for (size_t node = 0; node < copy.size(); ++node) {
    const int i = copy[node];
    if (level[node] < hops) {
      for (int k = 0; k < atoms.neighbors[i]; ++k) {
        const int j = atoms.neighbor[i][k] & atoms.mask;
        if (atoms.species[atoms.type[j]] < 0) continue;
        const double *a = atoms.x[i], *b = atoms.x[j];
        const double dx = b[0] - a[0], dy = b[1] - a[1], dz = b[2] - a[2];
        if (dx * dx + dy * dy + dz * dz > reach_squared) continue;
        if (node_of_copy[j] < 0) {
          const auto [entry, is_new] = node_of_id.emplace(atoms.id[j], static_cast<int>(copy.size()));
          if (is_new) {
            copy.push_back(j);
            level.push_back(level[node] + 1);
          }
          node_of_copy[j] = entry->second;
        }
        neighbor_copy.push_back(j);
        neighbor_node.push_back(node_of_copy[j]);
      }
    }
    row_start.push_back(static_cast<int>(neighbor_copy.size()));
  }
  reverse.assign(neighbor_copy.size(), -1);
}

/* Several images of one atom can neighbour the same center, so IDs alone do not identify a pair: the vectors must be
   opposite as well. */
void Topology::find_reverse(const Atoms &atoms)
{
  const double tolerance_squared = 1e-6;    // Å^2; images lie at least a lattice vector apart
  for (size_t node = 0; node < copy.size(); ++node) {
    const double *here = atoms.x[copy[node]];
    for (int pair = row_start[node]; pair < row_start[node + 1]; ++pair) {
      if (reverse[pair] >= 0) continue;
      const double *image = atoms.x[neighbor_copy[pair]];
      const int other = neighbor_node[pair];
      const double *there = atoms.x[copy[other]];
      for (int back = row_start[other]; back < row_start[other + 1]; ++back) {
        if (neighbor_node[back] != static_cast<int>(node)) continue;
        const double *return_image = atoms.x[neighbor_copy[back]];
        double squared = 0.0;
        for (int axis = 0; axis < 3; ++axis) {
          const double sum = (image[axis] - here[axis]) + (return_image[axis] - there[axis]);
          squared += sum * sum;
        }
        if (squared < tolerance_squared) {
          reverse[pair] = back;
          reverse[back] = pair;
          break;
        }
      }
    }
  }
}

double Topology::bytes() const
{
  const std::vector<int> *const arrays[] = {&copy, &level, &row_start, &neighbor_copy, &neighbor_node, &reverse};
  double total = 0.0;
  for (const std::vector<int> *array : arrays) total += sizeof(int) * static_cast<double>(array->capacity());
  return total;
}

}    // namespace fusepot
