"""Read and write ``nep.txt``, the potential file of GPUMD and of the other programs that run NEP.

The format (GPUMD manual, "NEP potential file"; version 4, energies only), in words separated by spaces:

    nep4 2 Ti Al            or nep4_zbl, followed by "zbl INNER OUTER"
    cutoff RADIAL ANGULAR MOST_NEIGHBORS_RADIAL MOST_NEIGHBORS_ANGULAR
    n_max RADIAL ANGULAR
    basis_size RADIAL ANGULAR
    l_max L 4BODY 5BODY     4BODY is 2 or 0, 5BODY is 1 or 0
    ANN NEURONS 0

and then one number a line: for each element the hidden weights (neuron by neuron), hidden biases and output weights;
the common output bias; the expansion coefficients, radial before angular, in the order n, k, center, neighbour; and the
scaling of each descriptor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, pi
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from pydantic import ValidationError

from fusepot.errors import InputError, PotentialFileError
from fusepot.files import write_atomically
from fusepot.models.nep import NepConfig
from fusepot.models.zbl import Zbl
from fusepot.potential import Potential

DENSEST = 0.12  # atoms/Å^3, above any metal near ambient pressure: bounds the number of neighbours
PROVENANCE = "nep_most_neighbors"


def write_nep(potential: Potential, path: str | Path) -> None:
    """Write a NEP potential as ``nep.txt``; numbers are written so that they read back exactly.

    Reference energies go into the common bias where all elements share one. Where they differ, each element's network
    gets one more neuron whose input is constant: the same function in the same format.

    Raises:
        InputError: another architecture, or a committee.
    """
    config = potential.config
    if potential.members > 1:
        raise InputError(
            "potential",
            got=f"a committee of {potential.members}",
            expected="a single potential: nep.txt holds one",
            remedy="Write each member of fusepot.committee.split(potential) to a file of its own.",
        )
    if not isinstance(config, NepConfig):
        raise InputError(
            "potential", got=f"the architecture {potential.architecture}", expected="nep: no other fits into nep.txt"
        )
    params = _with_references(potential)
    most = potential.provenance.get(PROVENANCE) or [_most_neighbors(c) for c in (config.cutoff, config.angular_cutoff)]
    elements = potential.elements
    lines = [f"nep4{'_zbl' if config.zbl else ''} {len(elements)} {' '.join(elements)}"]
    if config.zbl:
        lines.append(f"zbl {config.zbl.inner:.10g} {config.zbl.outer:.10g}")
    lines += [
        f"cutoff {config.cutoff:.10g} {config.angular_cutoff:.10g} {most[0]} {most[1]}",
        f"n_max {config.n_max_radial} {config.n_max_angular}",
        f"basis_size {config.basis_size_radial} {config.basis_size_angular}",
        f"l_max {config.l_max} {2 * config.four_body} {1 * config.five_body}",
        f"ANN {params['output'].shape[1]} 0",
    ]
    lines += [repr(float(number)) for part in _in_file_order(params) for number in part]
    write_atomically(Path(path), ("\n".join(lines) + "\n").encode())


def read_nep(path: str | Path, *, dtype: str = "float64") -> Potential:
    """Read ``nep.txt``.

    Args:
        path: a NEP4 file for energies, with or without ZBL.
        dtype: precision to evaluate in.

    Raises:
        PotentialFileError: missing, damaged, of another version, or with features this package does not have
            (charges, dipoles, cutoffs by element, tabulated ZBL): never read as something else.
    """
    reader = _Reader(Path(path))
    kind, count, *elements = reader.header(None, least=3)
    if kind not in ("nep4", "nep4_zbl"):
        raise reader.bad(f"is of kind {kind!r}", "Use a NEP4 potential for energies (nep4 or nep4_zbl).")
    if str(len(elements)) != count or any(e not in atomic_numbers for e in elements):
        raise reader.bad(f"announces {count} elements and names {' '.join(elements)}", "Repair its first line.")
    zbl = None
    if kind == "nep4_zbl":
        inner, outer = reader.numbers("zbl", 2)
        if outer == 0:
            raise reader.bad("has a tabulated (flexible) ZBL term", "Use one with the universal ZBL term.")
        zbl = {"inner": inner, "outer": outer, "numbers": [atomic_numbers[e] for e in elements]}
    cutoff, angular_cutoff, *most = reader.numbers("cutoff", 2, 4)
    n_max = reader.numbers("n_max", 2)
    basis = reader.numbers("basis_size", 2)
    l_max, four, five = [*reader.numbers("l_max", 1, 2, 3), 0, 0][:3]
    neurons, _ = reader.numbers("ANN", 2)
    if four not in (0, 2) or five not in (0, 1):
        raise reader.bad(f"has l_max {l_max:g} {four:g} {five:g}", "Use 4-body 0 or 2, and 5-body 0 or 1.")
    try:
        config = NepConfig(
            cutoff=cutoff,
            angular_cutoff=angular_cutoff,
            n_max_radial=int(n_max[0]),
            n_max_angular=int(n_max[1]),
            basis_size_radial=int(basis[0]),
            basis_size_angular=int(basis[1]),
            l_max=int(l_max),
            four_body=four == 2,
            five_body=five == 1,
            neurons=int(neurons),
            zbl=Zbl.model_validate(zbl) if zbl else None,
        )
    except ValidationError as error:
        raise reader.bad(
            f"has hyper-parameters out of range ({error.errors()[0]['msg']})", "Compare nep.in."
        ) from error
    return Potential(
        architecture="nep",
        config=config,
        elements=tuple(elements),
        reference_energies=(0.0,) * len(elements),
        params=_from_file_order(config, len(elements), reader),
        dtype=dtype,
        provenance={"imported_from": Path(path).name, **({PROVENANCE: [int(m) for m in most]} if most else {})},
    )


def _in_file_order(params: Any) -> Iterator[np.ndarray]:
    """The numbers of the file, in its order."""
    for hidden, bias, output in zip(params["hidden"], params["hidden_bias"], params["output"], strict=True):
        yield from (hidden.T.ravel(), bias, output)
    yield params["bias"].reshape(1)
    for name in ("radial", "angular"):
        yield params[name].transpose(2, 3, 0, 1).ravel()
    yield params["scaler"]


def _from_file_order(config: NepConfig, species: int, reader: _Reader) -> dict[str, np.ndarray]:
    """Inverse of ``_in_file_order``: consumes the reader's numbers."""
    d, h = config.descriptors, config.neurons
    networks = [(reader.take(h, d).T, reader.take(h), reader.take(h)) for _ in range(species)]
    hidden, hidden_bias, output = (np.stack(part) for part in zip(*networks, strict=True))
    bias = reader.take(1).reshape(())
    radial = reader.take(config.n_max_radial + 1, config.basis_size_radial + 1, species, species)
    angular = reader.take(config.n_max_angular + 1, config.basis_size_angular + 1, species, species)
    params = {
        "radial": radial.transpose(2, 3, 0, 1),
        "angular": angular.transpose(2, 3, 0, 1),
        "scaler": reader.take(d),
        "hidden": hidden,
        "hidden_bias": hidden_bias,
        "output": output,
        "bias": bias,
    }
    reader.end()
    return {name: np.array(array, order="C") for name, array in params.items()}


def _with_references(potential: Potential) -> dict[str, np.ndarray]:
    """Parameters that hold the reference energies as well."""
    params, references = potential.params, np.asarray(potential.reference_energies)
    if (references == references[0]).all():
        # float32 would round a total energy of hundreds of eV; the file has room for all digits.
        return {
            **params,
            "bias": np.asarray(np.float64(params["bias"]) - references[0] if references[0] else params["bias"]),
        }
    column = references[:, None] / np.tanh(1.0)
    return {
        **params,
        "hidden": np.concatenate([params["hidden"], np.zeros_like(params["hidden"][:, :, :1])], axis=2),
        "hidden_bias": np.concatenate([params["hidden_bias"], np.full_like(params["hidden_bias"][:, :1], -1)], axis=1),
        "output": np.concatenate([params["output"], column], axis=1),
    }


def _most_neighbors(cutoff: float) -> int:
    return ceil(4 / 3 * pi * cutoff**3 * DENSEST)


@dataclass
class _Reader:
    """Takes a file apart from its start, and says what is wrong with which line."""

    path: Path

    def __post_init__(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.bad(f"cannot be read ({error})", "Check the path.") from error
        self.lines = [words for line in text.splitlines() if (words := line.split())]
        self.line = 0
        self.values: np.ndarray | None = None
        self.taken = 0

    def bad(self, problem: str, remedy: str) -> PotentialFileError:
        return PotentialFileError(f"{self.path}: {problem}. {remedy}")

    def header(self, name: str | None, *, least: int) -> list[str]:
        """The words of the next line, which starts with ``name``."""
        words = self.lines[self.line] if self.line < len(self.lines) else []
        self.line += 1
        if len(words) < least or (name is not None and words[0] != name):
            found = " ".join(words) or "nothing"
            raise self.bad(f"has {found!r} where the line {name or 'nep4 ...'!r} belongs", "Compare the format.")
        return words

    def numbers(self, name: str, *lengths: int) -> list[float]:
        """The numbers on the next line, which starts with ``name``, one of ``lengths`` many."""
        words: Sequence[str] = self.header(name, least=1)[1:]
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) not in lengths or not np.isfinite(values).all():
            raise self.bad(
                f"has {' '.join(words)!r} after {name!r}, which takes {' or '.join(map(str, lengths))} numbers",
                "A file with more is of a newer kind of NEP that this package does not have.",
            )
        return values

    def take(self, *shape: int) -> np.ndarray:
        """The next numbers of the body, float64."""
        if self.values is None:
            try:
                self.values = np.array([float(word) for words in self.lines[self.line :] for word in words])
            except ValueError as error:
                raise self.bad(f"has a body that is not numbers ({error})", "Copy it again.") from error
            if not np.isfinite(self.values).all():
                raise self.bad("has numbers that are not finite", "Train it again.")
        size = int(np.prod(shape))
        part = self.values[self.taken : self.taken + size]
        if len(part) < size:
            raise self.bad(f"ends early: {len(self.values)} numbers", "Copy it again.")
        self.taken += size
        return part.reshape(shape)

    def end(self) -> None:
        """Every number was used."""
        if self.values is None or self.taken != len(self.values):
            left = 0 if self.values is None else len(self.values) - self.taken
            raise self.bad(f"has {left} numbers too many for its header", "Compare l_max, n_max and ANN with nep.in.")
