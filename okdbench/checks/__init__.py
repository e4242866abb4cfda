"""What holds for every method, as functions that return findings: for ``okdbench check`` and for our own tests."""

from okdbench.checks.checks import CHECKS, Check
from okdbench.checks.finding import Finding
from okdbench.checks.sandbox import Sandbox

__all__ = ["CHECKS", "Check", "Finding", "Sandbox"]
