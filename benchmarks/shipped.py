"""What several benchmarks measure with."""

from pathlib import Path

POTENTIALS = Path(__file__).parents[1] / "potentials"
NEP, DIMENETPP, FUSED = (
    POTENTIALS / name / "potential.fusepot" for name in ("ti-pbe-nep", "ti-pbe-dimenetpp", "ti-fused-nep")
)
