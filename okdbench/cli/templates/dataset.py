"""Mine: pictures in folders beside this file, ``<name of this file>/<domain>/<class>/<picture>``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from okdbench.core.errors import UserError
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.folder_scan import pictures_in

FOLDER = Path(__file__).with_suffix("")


class Mine(Dataset):
    """Put the names of your folders into ``classes`` and ``domains``."""

    title = "Mine"
    licence = "all rights reserved"
    citation = "unpublished"
    classes = ("cup", "lamp")
    #: letter -> folder; the letters spell the settings: S-P has a teacher of S and a student for P
    domains: ClassVar = {"S": "studio", "P": "phone"}
    settings = ("S-P", "P-S")

    def find(self, domain: str, root: Path) -> None:  # noqa: ARG002 - the pictures lie beside this file
        for name in self.classes:
            if not (FOLDER / domain / name).is_dir():
                raise UserError(f"there is no folder {FOLDER / domain / name}; put the pictures of {name} there")

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:
        self.find(domain, root)
        return [
            Sample(path.relative_to(FOLDER).as_posix(), label, path)
            for label, name in enumerate(self.classes)
            for path in pictures_in(FOLDER / domain / name)
        ]
