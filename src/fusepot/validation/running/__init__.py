"""LAMMPS runs: a folder for each, side by side, continued from restart files, or as a Slurm job array."""
