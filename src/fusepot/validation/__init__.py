"""What a trained potential is worth: runs of LAMMPS decks, what they leave, and a page beside experiment."""
