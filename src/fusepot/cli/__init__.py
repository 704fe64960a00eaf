"""The command line: ``fusepot train | evaluate | verify | doctor | ...``."""

from fusepot.cli.commands import app, main

__all__ = ["app", "main"]
