#include "blocks.h"

#include <cstddef>

using std::size_t;

namespace fusepot {

static constexpr int atoms_per_block = 256;    // about 400 kB with 26 neighbours each

template <typename Array> static void make_room(Array &array, size_t size)
{
  if (array.size() < size) array.resize(size + size / 4);
}

int BlockArrays::gather(const Atoms &atoms, const int *list, int begin, int end, double cutoff)
{
  const double cutoff_squared = cutoff * cutoff;
  center.clear();
  species.clear();
  first.assign(1, 0);
  int next = begin, pairs = 0;
  for (; next < end && center.size() < atoms_per_block; ++next) {
    const int i = list[next];
    if (atoms.species[atoms.type[i]] < 0) continue;
    center.push_back(i);
    species.push_back(atoms.species[atoms.type[i]]);

    const size_t most = static_cast<size_t>(pairs) + atoms.neighbors[i];
    make_room(neighbor, most);
    make_room(neighbor_species, most);
    make_room(vectors, 3 * most);
    const double *a = atoms.x[i];
    for (int k = 0; k < atoms.neighbors[i]; ++k) {
      const int j = atoms.neighbor[i][k] & atoms.mask, kind = atoms.species[atoms.type[j]];
      const double *b = atoms.x[j];
      const double dx = b[0] - a[0], dy = b[1] - a[1], dz = b[2] - a[2];
      if (kind < 0 || dx * dx + dy * dy + dz * dz >= cutoff_squared) continue;
      neighbor[pairs] = j;
      neighbor_species[pairs] = kind;
      double *vector = vectors.data() + 3 * static_cast<size_t>(pairs);
      vector[0] = dx;
      vector[1] = dy;
      vector[2] = dz;
      ++pairs;
    }
    first.push_back(pairs);
  }
  return next;
}

int BlockArrays::evaluate(const fusepot_kernel &kernel, int member)
{
  make_room(energies, center.size());
  make_room(gradient, vectors.size());
  const fusepot_block block{static_cast<int32_t>(center.size()), first.data(), species.data(), neighbor_species.data(),
                            vectors.data(), energies.data(), gradient.data()};
  const int failed = kernel.evaluate(kernel.models[member], &block);
  for (size_t k = 0; k < center.size(); ++k) energies[k] += kernel.references[species[k]];
  return failed;
}

double BlockArrays::bytes() const
{
  const size_t integers = center.capacity() + first.capacity() + neighbor.capacity() + species.capacity() + neighbor_species.capacity();
  const size_t reals = vectors.capacity() + energies.capacity() + gradient.capacity();
  return sizeof(int) * static_cast<double>(integers) + sizeof(double) * static_cast<double>(reals);
}

}    // namespace fusepot
