"""The conformance kit: what every potential must fulfil, as checks that users run too."""

from fusepot.testing.kit import CHECKS, verify
from fusepot.testing.subject import CheckResult, Evaluate

__all__ = ["CHECKS", "CheckResult", "Evaluate", "verify"]
