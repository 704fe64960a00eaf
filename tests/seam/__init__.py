"""LAMMPS = ASE = predict: every test here runs the real programs."""
