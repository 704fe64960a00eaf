/* The border between the pair style (C++) and the potential (Python): plain C structures, mirrored by
   fusepot/serving/bridge.py. Change FUSEPOT_BORDER_VERSION with any change here. */

#ifndef FUSEPOT_BORDER_H
#define FUSEPOT_BORDER_H

#include "block.h"

#include <cstdint>

#define FUSEPOT_BORDER_VERSION 2

extern "C" {

/* Sizes of a graph: atoms, pairs, longest row (neighbours of one atom). */
typedef struct {
  int32_t atoms, pairs, neighbors;
} fusepot_sizes;

/* Arrays of one graph, allocated by C++ with the capacity that Python asked for. Units: Å, eV, eV/Å. */
typedef struct {
  fusepot_sizes capacity;
  int32_t *centers;   /* (pairs) center i of each pair, sorted; padding: last atom */
  int32_t *others;    /* (pairs) neighbour j */
  int32_t *reverse;   /* (pairs) the same pair seen from j; capacity.pairs where it is not in the graph */
  double *vectors;    /* (pairs, 3) x_j - x_i; padding: (cutoff, 0, 0) */
  int32_t *species;   /* (atoms) index into the potential's elements */
  uint8_t *counted;   /* (atoms) 1 where the atom's energy counts: atoms this rank owns */
  double *energies;   /* (atoms) out: energy of each counted atom */
  double *gradient;   /* (pairs, 3) out: d(sum of counted energies)/d(vectors); of a committee the mean */
  double *member_gradients; /* (members, pairs, 3) out, if compute is asked for it: of each member; null: never asked */
} fusepot_buffers;

/* Compiled code of an open potential, called without Python; `evaluate` is null where there is none, and the arrays below
   are used instead. Python owns the models and keeps them until the handle is closed. */
typedef struct {
  fusepot_evaluate_block evaluate;
  const void *const *models; /* one of each member */
  const double *references; /* eV to add to the energy of each atom, by species */
} fusepot_kernel;

/* Functions of the Python side. Each returns 0, or non-zero with an explanation in message. No exception crosses. */
typedef struct {
  int32_t version;
  /* Open a potential for atom types 1..ntypes with these element names ("NULL" = type not handled). `dtype`: "float32",
     "float64" or "file"; `engine`: "auto" (compiled code where there is some) or "xla". `members`: 1, or those of a
     committee, whose mean is the potential. */
  int (*open)(const char *path, const char *dtype, const char *engine, int32_t ntypes, const char *const *names,
              int32_t *handle, double *cutoff, int32_t *hops, int32_t *members, int32_t *species, fusepot_kernel *kernel,
              char *summary, char *message, int32_t size);
  /* Array sizes to allocate so that `need` fits; sizes repeat, so that compiled code is reused. */
  int (*reserve)(int32_t handle, const fusepot_sizes *need, fusepot_sizes *capacity, char *message, int32_t size);
  /* Tell where the arrays are, after each allocation. */
  int (*bind)(int32_t handle, const fusepot_buffers *buffers, char *message, int32_t size);
  /* Fill energies and gradient for the first `atoms` atoms and `pairs` pairs, and member_gradients if `each` is 1. */
  int (*compute)(int32_t handle, int32_t atoms, int32_t pairs, int32_t each, char *message, int32_t size);
  int (*close)(int32_t handle, char *message, int32_t size);
} fusepot_table;

/* Called by Python: hand over the functions (null: take them back at interpreter exit). Returns 0, or 1 if the
   versions differ. */
int fusepot_register(const fusepot_table *table);

/* Number of the LAMMPS release this library was compiled for, for example 20250722. */
int fusepot_built_for(void);

/* Seconds for n calls of table.compute on a handle: the bare cost of crossing the border (benchmarks). */
double fusepot_time_calls(int32_t handle, int32_t n);
}

#endif
