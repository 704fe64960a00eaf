/* One graph in padded arrays that C++ fills and Python reads, see border.h. */

#ifndef FUSEPOT_ARRAYS_H
#define FUSEPOT_ARRAYS_H

#include "border.h"
#include "topology.h"

#include <vector>

namespace fusepot {

struct GraphArrays {
  fusepot_buffers buffers{};
  std::vector<int> list_pair;    // pair of the graph -> pair of the topology

  bool is_allocated() const { return buffers.centers != nullptr; }
  bool holds(const fusepot_sizes &need) const;
  void allocate(const fusepot_sizes &capacity, int members);    // members: how many to keep gradients of, or 0

  /* Fill everything from the present positions and types: the pairs of the topology that are closer than the cutoff,
     in order, then padding. Returns the sizes of that graph; where the arrays do not hold them they are of no use, and
     are to be allocated and filled again. */
  fusepot_sizes fill(const Topology &, const Atoms &, double cutoff);

  double bytes() const;

 private:
  std::vector<int32_t> integers;    // storage behind buffers
  std::vector<double> reals;
  std::vector<uint8_t> flags;
  std::vector<int> graph_pair;      // pair of the topology -> pair of the graph, -1 beyond the cutoff

  void pad(int pairs, double cutoff);
};

}    // namespace fusepot

#endif
