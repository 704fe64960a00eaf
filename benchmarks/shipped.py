"""What several benchmarks measure with."""

from pathlib import Path

NEP = Path(__file__).parents[1] / "potentials" / "ti-pbe-nep" / "potential.fusepot"
