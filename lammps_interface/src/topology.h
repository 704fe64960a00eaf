/* Folds LAMMPS's owned and ghost atoms into a graph without duplicates.

   An atom is a node once, however many of its periodic images or ghost copies are in reach: copies share the atom's
   ID. A message-passing potential that reaches `hops` cutoffs needs the neighbours of every atom up to hops - 1 pairs
   away from an owned atom; they are found by walking the neighbour list level by level. On one rank every atom is
   owned and one level suffices. In a box smaller than the halo the graph is never larger than the box. */

#ifndef FUSEPOT_TOPOLOGY_H
#define FUSEPOT_TOPOLOGY_H

#include <vector>

namespace fusepot {

/* What LAMMPS knows, by local index (owned atoms first, then ghosts). */
struct Atoms {
  int owned;                  // number of owned atoms
  int total;                  // owned + ghost
  const double *const *x;     // positions
  const int *id;              // atom IDs, equal for copies of an atom
  const int *type;            // types from 1
  const int *species;         // by type; -1: not handled
  const int *neighbors;       // length of the neighbour list of each atom that has one
  int *const *neighbor;       // neighbour lists (full, copies by local index)
  int mask;                   // bits of a list entry that hold the index
};

struct Topology {
  std::vector<int> copy;           // node -> local index of the copy whose neighbour list is its row
  std::vector<int> level;          // node -> pairs away from the nearest owned atom
  std::vector<int> row_start;      // node -> first list pair; one more entry at the end
  std::vector<int> neighbor_copy;  // list pair -> local index of the neighbour's copy
  std::vector<int> neighbor_node;  // list pair -> node of the neighbour
  std::vector<int> reverse;        // list pair -> the same pair seen from the neighbour, -1 where that is no row

  /* Rebuild for new neighbour lists. `reach`: ignore list entries farther than this (cutoff + skin). */
  void build(const Atoms &atoms, int hops, double reach);

  /* Fill `reverse`; a local potential (one hop) never reads it and leaves it at -1. */
  void find_reverse(const Atoms &atoms);

  double bytes() const;
};

}    // namespace fusepot

#endif
