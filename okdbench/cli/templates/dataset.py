"""Mine: images in folders beside this file, ``<name of this file>/<domain>/<class>/<image>``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from okdbench.data import Dataset, Sample, UserError, images_in

FOLDER = Path(__file__).with_suffix("")


class Mine(Dataset):
    """Replace ``classes`` and ``domains`` by the names of your folders."""

    title = "Mine"
    licence = "all rights reserved"
    citation = "unpublished"
    classes = ("cup", "lamp")
    #: letter -> folder; settings are spelled with the letters: in S-P the teacher is trained on S, the student on P
    domains: ClassVar = {"S": "studio", "P": "phone"}
    settings = ("S-P", "P-S")

    def find(self, domain: str, root: Path) -> None:  # noqa: ARG002 - the images are beside this file
        for name in self.classes:
            if not (FOLDER / domain / name).is_dir():
                raise UserError(f"there is no folder {FOLDER / domain / name}; put the images of {name} there")

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:
        self.find(domain, root)
        # The path is relative, because the splits are a function of it: they must be equal on every machine.
        return [
            Sample(path.relative_to(FOLDER).as_posix(), label, path)
            for label, name in enumerate(self.classes)
            for path in images_in(FOLDER / domain / name)
        ]
