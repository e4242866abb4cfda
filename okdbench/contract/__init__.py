"""What holds for every method, as functions that return findings: for ``okdbench check`` and for our own tests."""

from okdbench.contract.bench import Bench
from okdbench.contract.checks import CHECKS, Check
from okdbench.contract.finding import Finding

__all__ = ["CHECKS", "Bench", "Check", "Finding"]
