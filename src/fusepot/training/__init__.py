"""Trainers: pure ``(init, step)`` pairs around a frozen state, with exact resume."""
