"""okdbench: out-of-domain knowledge distillation methods under one protocol that cannot leak.

``methods/``, ``datasets/`` and ``leaderboards/`` lie beside this package in the source tree and are installed as its
sub-packages. When the code runs from the source tree they are registered here, so both ways give the same names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from okdbench.training.runner import run

__all__ = ["__version__", "run"]


def _register_siblings() -> None:
    root = Path(__file__).resolve().parent.parent
    if not (root / "setup.cfg").is_file():
        return
    for name in ("methods", "datasets", "leaderboards"):
        package = ModuleType(f"{__name__}.{name}")
        package.__path__ = [str(root / name)]
        sys.modules[package.__name__] = package
        setattr(sys.modules[__name__], name, package)


_register_siblings()


def __getattr__(name: str) -> Any:
    """Import torch only when something asks for it, so that ``okdbench --help`` starts at once."""
    if name == "run":
        from okdbench.training.runner import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
