"""The unit system and its constants (CODATA 2018).

Everywhere in fusepot: eV, Å, amu, K, elementary charge. Times are fs or ps and only in names that say so. LAMMPS
calls the same system "metal" except for pressure, which is bar there and eV/Å^3 (or GPa, where named) here.
"""

BOLTZMANN_EV_PER_K = 8.617333262e-5
GPA_PER_EV_PER_A3 = 160.2176634
BAR_PER_EV_PER_A3 = 1.602176634e6
EV_PER_KJ_PER_MOL = 1.0 / 96.48533212
EV_FS2_PER_A2_AMU = 103.64269572045  # mass: 1.66053906660e-27 kg / 1.602176634e-19 C * 1e10
