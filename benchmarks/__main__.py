"""Run every benchmark in a process of its own, print a table, write benchmarks/results.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ALL = ("dimenetpp", "bridge", "nep", "nep_md", "nep_ranks")
RESULTS = Path(__file__).parent / "results.json"


def run(name: str) -> list[dict]:
    """Results of one benchmark module."""
    environment = os.environ | {"GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")}
    job = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, env=environment, text=True, check=True
    )
    return [json.loads(line) for line in job.stdout.splitlines() if line.startswith("{")]


def main() -> int:
    """Return 1 if a goal is missed."""
    console = Console()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    table = Table(title="fusepot benchmarks: ratios in one run, interleaved, medians of CPU time")
    for heading in ("key", "value", "goal", "spread"):
        table.add_column(heading, no_wrap=True)
    missed, details = False, []
    for name in sys.argv[1:] or ALL:
        console.print(f"benchmarks.{name} ...")
        for result in run(name):
            key = result.pop("key")
            known[key] = result
            missed |= not result["met"]
            colour = "green" if result["met"] else "red"
            value = f"[{colour}]{result['value']:.3g} {result['unit']}[/{colour}]"
            table.add_row(key, value, result["goal"], f"{result['spread']:.2g}")
            details.append(f"{key}: {result['detail']}")
            RESULTS.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
    console.print(table)
    console.print("\n".join(details), soft_wrap=True, highlight=False)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
