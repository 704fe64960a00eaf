/* pair_style fusepot: gather pairs, call the potential, scatter forces. No formula lives here.

   A potential with compiled code is called block by block, without Python; any other gets one graph of all atoms. */

#ifndef LMP_PAIR_FUSEPOT_H
#define LMP_PAIR_FUSEPOT_H

#include "arrays.h"
#include "committee.h"
#include "blocks.h"
#include "pair.h"
#include "topology.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairFusepot : public Pair {
 public:
  explicit PairFusepot(class LAMMPS *);
  ~PairFusepot() override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

 private:
  static constexpr int message_size = 2048;

  std::string dtype = "file";           // evaluation precision: as the file says, or overridden
  std::string engine = "auto";          // compiled code where there is some, or XLA always
  int handle = -1;                      // the open potential on the Python side
  fusepot_kernel kernel{};              // its compiled code, if any
  double cutoff = 0.0;                  // Å
  int hops = 1;                         // message-passing reach in cutoffs
  int members = 1;                      // of a committee, whose mean acts on the atoms
  std::vector<int32_t> species;         // by LAMMPS type
  double halo = 0.0;                    // ghost cutoff that init_style has set, 0 if it has not
  bool reported = false;                // costs printed

  fusepot::BlockArrays block;           // with compiled code
  fusepot::Topology topology;           // without
  fusepot::GraphArrays graph;
  Committee committee;                  // the members' disagreement, if asked for

  bool is_distributed() const;
  void allocate();
  void close();
  void check_launcher() const;
  void set_halo();
  fusepot::Atoms view() const;
  fusepot_sizes largest_of_all_ranks(const fusepot_sizes &) const;
  void reserve(const fusepot_sizes &);
  void compute_blocks(bool);
  void compute_graph(bool);
  void tally(int, int, const double *, const double *);
  void tally_energy(int, double);
  void report_halo();
  void report_memory();
  void fail(int, const std::string &, const char *) const;
  void stop(const std::string &) const;
};

}    // namespace LAMMPS_NS

#endif
