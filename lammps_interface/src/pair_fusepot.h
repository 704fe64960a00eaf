/* pair_style fusepot: gather pairs, call the potential, scatter forces. No formula lives here. */

#ifndef LMP_PAIR_FUSEPOT_H
#define LMP_PAIR_FUSEPOT_H

#include "arrays.h"
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
  double memory_usage() override;

 private:
  std::string dtype = "file";           // evaluation precision: as the file says, or overridden
  int handle = -1;                      // the open potential on the Python side
  double cutoff = 0.0;                  // Å
  int hops = 1;                         // message-passing reach in cutoffs
  std::vector<int32_t> species;         // by LAMMPS type
  double halo = 0.0;                    // ghost cutoff that init_style has set, 0 if it has not
  bool reported = false;                // halo cost printed

  fusepot::Topology topology;
  fusepot::GraphArrays graph;

  bool is_distributed() const;
  void allocate();
  void close();
  void check_launcher() const;
  void set_halo();
  fusepot::Atoms view() const;
  fusepot_sizes largest_of_all_ranks(const fusepot_sizes &) const;
  void reserve(const fusepot_sizes &);
  void scatter(int);
  void report_cost();
  void fail(int, const std::string &, const char *) const;
};

}    // namespace LAMMPS_NS

#endif
