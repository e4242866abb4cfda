"""The rules that every method must keep, as functions that return findings.

``okdbench check`` runs them on one method, and the test suite runs them on all bundled methods.
"""

from okdbench.checks.checks import CHECKS, Check
from okdbench.checks.finding import Finding
from okdbench.checks.sandbox import Sandbox

__all__ = ["CHECKS", "Check", "Finding", "Sandbox"]
