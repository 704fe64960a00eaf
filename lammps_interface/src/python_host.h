/* Finds or starts the Python interpreter that serves potentials. */

#ifndef FUSEPOT_PYTHON_HOST_H
#define FUSEPOT_PYTHON_HOST_H

#include "border.h"

#include <string>

namespace fusepot {

/* The registered functions; null until Python has attached. */
const fusepot_table *table();

/* Make sure that Python has attached: use the interpreter of this process (a Python script or launcher), or start
   one (plain lmp). Returns an empty string, or what went wrong and what to do. */
std::string ensure_attached();

}    // namespace fusepot

#endif
