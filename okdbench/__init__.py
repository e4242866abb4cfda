"""okdbench: out-of-domain knowledge distillation methods compared under one protocol without data leakage.

The folders ``methods/``, ``datasets/`` and ``leaderboards/`` are next to this package in the source tree and are
installed as its sub-packages. In a source tree they are registered here, so the module names are the same either way.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from okdbench.results.leaderboard import leaderboard
    from okdbench.results.significance import compare
    from okdbench.training.runner import run

__version__ = "0.1.0"

# public name -> module that defines it; texts instead of imports, so that a bare `import okdbench` stays fast and
# importing okdbench does not count as reaching these modules (see okdbench.core.code_digest)
_PUBLIC = {
    "run": "okdbench.training.runner",
    "load_records": "okdbench.results.frames",
    "leaderboard": "okdbench.results.leaderboard",
    "compare": "okdbench.results.significance",
}

__all__ = ["__version__", "compare", "leaderboard", "load_records", "run"]


def __getattr__(name: str) -> Any:
    """Import a public function on first use (PEP 562); torch and pandas load only then."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The names of this module, including the public functions that are not imported yet."""
    return sorted({*globals(), *_PUBLIC})


def _register_siblings() -> None:
    """Make ``methods/`` and the other folders of a source tree sub-packages, as the installed package has them."""
    root = Path(__file__).resolve().parent.parent
    # only a source tree has this file; an installed package has the folders as real sub-packages
    if not (root / "setup.cfg").is_file():
        return
    for name in ("methods", "datasets", "leaderboards"):
        package = ModuleType(f"{__name__}.{name}")
        package.__path__ = [str(root / name)]
        sys.modules[package.__name__] = package
        # an import that finds the module in sys.modules does not set the attribute
        setattr(sys.modules[__name__], name, package)


_register_siblings()
