"""Checks of elastic constants whose runs are shorter than those of any preset."""

from __future__ import annotations

from pathlib import Path

from fusepot.toml_files import parse_section
from fusepot.validation.checks.elastic import ElasticCheck
from fusepot.validation.checks.elastic_section import ElasticSection, Length

FILE = Path(__file__).parents[1] / "potentials/ti-pbe-nep/potential.fusepot"
TINY = Length({"hcp": (3, 2, 2), "bcc": (4, 4, 4), "fcc": (2, 2, 2)}, 2.0, 2000, 1500, 8000, 10, 20)
BCC = {"structure": "bcc", "table": "bcc_titanium_elastic", "temperatures_K": [1273.0], "a": 3.3, "limit_percent": 30}
HCP = {"structure": "hcp", "table": "hcp_titanium", "temperatures_K": [300.0, 600.0], "limit_percent": 30}


def check_of(content: dict[str, object], folder: Path) -> ElasticCheck:
    return ElasticCheck("elastic", parse_section(content, ElasticSection), "quick", folder)
