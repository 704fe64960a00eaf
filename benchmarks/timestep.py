"""What a long time step costs: energy drift and observables of hcp titanium against the time step, as a Markdown table.

    python -m benchmarks.timestep

Not one of ``make bench``'s ratios: it takes minutes and has no goal.
"""

from __future__ import annotations

import numpy as np

from benchmarks.exp_epoch import CONFIG
from benchmarks.shipped import NEP
from fusepot.data import load_experiment
from fusepot.observables import find_observable, observe
from fusepot.potential_file import load_potential
from fusepot.sampling import Nve, Nvt, simulate
from fusepot.training.config import load_config

TIMESTEPS = (0.5, 1.0, 2.5, 5.0, 8.0)
LENGTH_PS, DRIFT_PS, FRAME_PS = 80.0, 20.0, 0.2
OBSERVABLES = ("pressure", "bulk_modulus", "shear_modulus", "C33", "C44")


def main() -> None:
    """Print a row per time step and temperature."""
    potential = load_potential(NEP)
    section = load_config(CONFIG).experiment
    assert section is not None
    observables = [find_observable(name, symmetry="hexagonal") for name in OBSERVABLES]
    print("| T (K) | time step (fs) | drift (meV/atom/ns) | p (GPa) | K (GPa) | G (GPa) | C33 (GPa) | C44 (GPa) |")
    print("|---|---|---|---|---|---|---|---|")
    for condition in load_experiment(section.path, temperatures_K=[323.0, 923.0]).conditions:
        kelvin, structure = condition.temperature_K, condition.structure
        for timestep in TIMESTEPS:
            every = round(1000 * FRAME_PS / timestep)
            lengths = {"timestep_fs": timestep, "sample_every": every, "equilibration_steps": 25 * every, "seed": 1}
            free = simulate(
                potential, structure, ensemble=Nve(2 * kelvin), steps=round(DRIFT_PS / FRAME_PS) * every, **lengths
            )
            total = 1e3 * (free.energies + free.kinetic_energies) / len(structure)
            drift = 1e3 * np.polyfit(free.times_ps, total, 1)[0]
            bath = simulate(
                potential, structure, ensemble=Nvt(kelvin), steps=round(LENGTH_PS / FRAME_PS) * every, **lengths
            )
            found = observe(potential, bath, observables, sparse_every=10).estimates
            cells = [f"{float(found[o.name].value):.2f} ± {float(found[o.name].error):.2f}" for o in observables]
            print(f"| {kelvin:g} | {timestep:g} | {drift:+.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
