/* Loops in tiles of a size known at compile time, so that what a tile works on stays in registers. MIT licence. */

#ifndef FUSEPOT_TILES_H
#define FUSEPOT_TILES_H

#include "lanes.h"

#include <type_traits>

namespace fusepot::FUSEPOT_VARIANT {

/* Calls f(size, start) for tiles of up to `most` of the numbers 0 ... count - 1, with the size known at compile time. */
template <int most, typename Function> FUSEPOT_INLINE void in_tiles(int count, Function f, int start = 0)
{
  for (; count - start >= most; start += most) f(std::integral_constant<int, most>(), start);
  if constexpr (most > 1) in_tiles<most - 1>(count, f, start);
}

}    // namespace fusepot::FUSEPOT_VARIANT

#endif
