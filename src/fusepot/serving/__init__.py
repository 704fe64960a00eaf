"""Serving a potential file to ASE and LAMMPS. Loads nothing that training needs."""
