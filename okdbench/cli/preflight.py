"""What can be checked before torch is imported, which takes seconds: whether the images are there at all."""

from __future__ import annotations

from pathlib import Path

from okdbench import registry
from okdbench.core.config import load_options
from okdbench.core.errors import UserError
from okdbench.core.files import default_data_root
from okdbench.sweep.grid import Grid


def find_images(grid: Grid, data_root: Path | None) -> None:
    """Look for the domains of all settings of ``grid`` below ``data_root``, None for the default one.

    Raises:
        UserError: one is not there; the message says how to get it.
    """
    root = data_root or default_data_root()
    in_file = load_options(grid.file) if grid.file else {}
    # The command line wins over the file, as when the runs are configured.
    official = (grid.options.get("test_split") or in_file.get("test_split")) != "folds"
    for name, text in grid.places():
        dataset = registry.load_dataset(name)
        # Looks whether the domains are registered; their images are read when the plan is made.
        own, tested = (dataset.domains_of(dataset.setting(text), tests) for tests in (False, official))
        for domain in tested:
            try:
                dataset.find(domain, root)
            except UserError as error:
                cure = "" if domain in own else "; or test on a fifth of the other images: --test-split folds"
                raise UserError(f"{error}{cure}") from None
