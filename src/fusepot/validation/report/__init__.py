"""The report of a validation: one self-contained page, the same numbers as JSON, and the plots as PNG files."""

from fusepot.validation.report.page import write_report
from fusepot.validation.report.record import Context

__all__ = ["Context", "write_report"]
