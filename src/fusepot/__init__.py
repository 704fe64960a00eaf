"""fusepot: interatomic potentials trained on DFT and experiment together, served to LAMMPS and ASE."""

__version__ = "0.1.0"
