"""Bulk modulus, shear modulus, Poisson's ratio and pressure of hcp titanium against temperature, beside experiment.

    python examples/titanium/moduli.py potentials/ti-pbe-nep potentials/ti-fused-nep --out moduli.json

For each potential and temperature: 256 atoms in the measured cell, Langevin dynamics, ten blocks for error bars, and
the adiabatic constants, which is what ultrasound measures. Points that are in the output file are not repeated; what
is printed is the Markdown table of examples/titanium/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusepot.data import Condition, load_experiment
from fusepot.observables import find_observable, observe
from fusepot.observables.elastic import Hexagonal, hexagonal_matrix
from fusepot.observables.moduli import voigt
from fusepot.potential import Potential
from fusepot.potential_file import load_potential
from fusepot.sampling import Nvt, simulate

HERE = Path(__file__).resolve().parent
TRAINED, OTHERS = (23.0, 323.0, 623.0, 923.0), (173.0, 473.0, 773.0)
QUANTITIES = {
    "bulk_modulus_adiabatic": "K (GPa)",
    "shear_modulus_adiabatic": "G (GPa)",
    "poisson_ratio_adiabatic": "ν",
    "pressure": "p (GPa)",
}
FIVE = Hexagonal._fields


def measured(condition: Condition) -> dict[str, float]:
    """The quantities from measured constants, by the paper's formulas; the pressure is that of the air."""
    targets = {target.observable: target.value for target in condition.targets}
    matrix = hexagonal_matrix(Hexagonal(*(targets[f"{name}_adiabatic"] for name in FIVE)))
    moduli = voigt(matrix)
    return dict(zip(QUANTITIES, (float(moduli.bulk), float(moduli.shear), float(moduli.poisson), 0.0), strict=True))


def simulated(potential: Potential, condition: Condition, *, steps: int, seed: int) -> dict[str, list[float]]:
    """Values and standard errors of quantities and constants."""
    trajectory = simulate(
        potential,
        condition.structure,
        ensemble=Nvt(condition.temperature_K),
        steps=steps,
        timestep_fs=5.0,
        sample_every=20,
        equilibration_steps=2000,
        seed=seed,
    )
    names = [*QUANTITIES, *(f"{name}_adiabatic" for name in FIVE)]
    observables = {name: find_observable(name, symmetry="hexagonal") for name in names}
    found = observe(potential, trajectory, list(observables.values()), sparse_every=20).estimates
    return {
        name: [float(found[o.name].value), max(float(found[o.name].error), float(found[o.name].correlated_error))]
        for name, o in observables.items()
    }


def table(found: Mapping[str, Mapping[str, Any]], conditions: Sequence[Condition]) -> str:
    """Markdown: a row per quantity and temperature, then mean absolute deviations."""
    names = list(found)
    lines = [f"| | T (K) | experiment | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
    summary = []
    for quantity, label in QUANTITIES.items():
        deviations: dict[tuple[str, bool], list[float]] = {}
        for condition in sorted(conditions, key=lambda c: c.temperature_K):
            kelvin, target = f"{condition.temperature_K:g}", measured(condition)[quantity]
            trained = condition.temperature_K in TRAINED
            cells = []
            for name in names:
                value, error = found[name][kelvin][quantity]
                deviations.setdefault((name, trained), []).append(abs(value / target - 1) if target else abs(value))
                deviation = f" ({100 * (value / target - 1):+.1f} %)" if target else ""
                digits = max(0, min(3, 1 - int(np.floor(np.log10(error)))))
                cells.append(f"{value:.{digits}f} ± {error:.{digits}f}{deviation}")
            exact = f"{target:.3f}" if target and target < 1 else f"{target:.1f}" if target else "0"
            lines.append(f"| {label} | {kelvin}{'' if trained else '*'} | {exact} | {' | '.join(cells)} |")
        for trained, group in ((True, "trained temperatures"), (False, "other temperatures")):
            means = [float(np.mean(deviations[name, trained])) for name in names]
            scale, unit = (1.0, "GPa") if quantity == "pressure" else (100.0, "%")
            cells = [f"{scale * mean:.2f} {unit}" for mean in means]
            summary.append(f"| {label} | {group} | | {' | '.join(cells)} |")
    lines += ["", "Mean absolute deviations from experiment:", "", *lines[:2], *summary]
    return "\n".join(lines)


def main() -> None:
    """Simulate what is missing, then print the table."""
    parser = argparse.ArgumentParser(description="moduli of hcp titanium against temperature")
    parser.add_argument("folders", nargs="+", type=Path, help="folders that hold potential.fusepot")
    parser.add_argument("--out", type=Path, default=Path("moduli.json"))
    parser.add_argument("--steps", type=int, default=40000, help="of 5 fs")
    parser.add_argument("--temperatures", nargs="+", type=float, default=[*TRAINED, *OTHERS])
    options = parser.parse_args()
    conditions = load_experiment(HERE / "experiment.toml", temperatures_K=options.temperatures).conditions
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for folder in options.folders:
        potential = load_potential(folder / "potential.fusepot")
        known = found.setdefault(folder.name, {})
        for seed, condition in enumerate(conditions, start=1):
            if f"{condition.temperature_K:g}" not in known:
                values = simulated(potential, condition, steps=options.steps, seed=seed)
                known[f"{condition.temperature_K:g}"] = values
                options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(table({folder.name: found[folder.name] for folder in options.folders}, conditions))


if __name__ == "__main__":
    main()
