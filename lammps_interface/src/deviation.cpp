#include "deviation.h"

#include <cmath>
#include <limits>

namespace fusepot {

void Deviation::start(int count, int atoms)
{
  members = count;
  forces.assign(3 * static_cast<std::size_t>(count) * atoms, 0.0);
}

int Deviation::pack(int atoms, int first, double *buffer) const
{
  const int numbers = 3 * members;
  const double *from = at(first);
  for (int k = 0; k < atoms * numbers; ++k) buffer[k] = from[k];
  return atoms * numbers;
}

void Deviation::unpack(int atoms, const int *list, const double *buffer)
{
  const int numbers = 3 * members;
  for (int k = 0; k < atoms; ++k)
    for (int n = 0; n < numbers; ++n) at(list[k])[n] += *buffer++;
}

Spread Deviation::spread(int owned, const int *id, const int *type, const int *species) const
{
  Spread found{-1.0, 0.0, std::numeric_limits<double>::max(), 0};
  for (int i = 0; i < owned; ++i) {
    if (species[type[i]] < 0) continue;
    const double *force = at(i);
    double squares = 0.0;
    for (int axis = 0; axis < 3; ++axis) {
      double mean = 0.0;
      for (int member = 0; member < members; ++member) mean += force[3 * member + axis] / members;
      for (int member = 0; member < members; ++member) {
        const double apart = force[3 * member + axis] - mean;
        squares += apart * apart / members;
      }
    }
    const double value = std::sqrt(squares);
    found.sum += value;
    if (value < found.smallest) found.smallest = value;
    if (value > found.largest) {
      found.largest = value;
      found.atom = id[i];
    }
  }
  return found;
}

}    // namespace fusepot
