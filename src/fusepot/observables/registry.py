"""Observables by name, collected from the modules of ``fusepot.observables.registered``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from fusepot.errors import InputError
from fusepot.observables import registered
from fusepot.observables.interface import Observable

SYMMETRIES = ("hexagonal", "cubic")


def _collect() -> Mapping[str, Observable]:
    found: dict[str, Observable] = {}
    for module in sorted(module.name for module in iter_modules(registered.__path__)):
        for observable in import_module(f"{registered.__name__}.{module}").OBSERVABLES:
            if observable.name in found:
                raise InputError(module, got=f"a second {observable.name}", expected="names used once")
            found[observable.name] = observable
    return MappingProxyType(found)


OBSERVABLES: Mapping[str, Observable] = _collect()


def find_observable(name: str, *, symmetry: str | None = None) -> Observable:
    """The observable that an experiment calls ``name``.

    Args:
        name: "pressure", "bulk_modulus", "hexagonal.C11", ...; "C11" where a symmetry is given.
        symmetry: of the crystal, "hexagonal" or "cubic".

    Raises:
        InputError: there is none of this name, or no such symmetry.
    """
    if symmetry is not None and symmetry not in SYMMETRIES:
        raise InputError("symmetry", got=symmetry, expected=f"one of {', '.join(SYMMETRIES)}, or none")
    for candidate in (f"{symmetry}.{name}", name):
        if candidate in OBSERVABLES:
            return OBSERVABLES[candidate]
    near = difflib.get_close_matches(name, OBSERVABLES, n=1)
    remedy = f"Did you mean {near[0]}?" if near else ""
    if any(f"{known}.{name}" in OBSERVABLES for known in SYMMETRIES):
        remedy = f"It depends on the crystal: give a symmetry, or write {SYMMETRIES[0]}.{name} or the like."
    raise InputError("observable", got=name, expected=f"one of {', '.join(OBSERVABLES)}", remedy=remedy)
