"""Observables that can be asked for by name: every module here lists its own in ``OBSERVABLES``.

Adding an observable is adding a module; ``fusepot.observables.registry`` finds it.
"""
