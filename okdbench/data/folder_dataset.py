"""Data sets that lie in folders of class folders, as they are published: one folder for each domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from okdbench.core.errors import UserError
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.download import Remote
from okdbench.data.manifest import manifest_file, read_manifest

Counts = Mapping[str, Mapping[str, int]]


class FolderDataset(Dataset):
    """Pictures on this machine that ``okdbench data add`` has looked through and registered."""

    #: domain -> class -> official number of pictures, in the order of ``classes``
    counts: ClassVar[Counts]
    #: other spellings of a class or domain; case, spaces and punctuation never matter
    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: domains without class folders -> names of the text file of paths and class indices that stands for them
    lists: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: whether class folders beside those of ``classes`` are none of its business
    is_subset: ClassVar[bool] = False
    #: where a person finds the pictures
    page: ClassVar[str]
    #: what ``okdbench data download`` fetches
    remotes: ClassVar[tuple[Remote, ...]] = ()

    def facts(self) -> list[str]:
        """Official counts, and where the pictures come from."""
        counts = ", ".join(f"{domain} {sum(classes.values()):,}" for domain, classes in self.counts.items())
        sources = [url for remote in self.remotes for url in remote.urls]
        return [f"pictures: {counts}", f"page: {self.page}", f"sources: {', '.join(sources) or 'none known'}"]

    def find(self, domain: str, root: Path) -> None:
        """Raise UserError, with the way to get it, unless the domain is registered."""
        file = manifest_file(self.name, domain, root)
        try:
            known = file.exists()
        except OSError as error:
            raise UserError(f"cannot read {file}: {(error.strerror or '').lower()}; check --data-root") from error
        if not known:
            raise UserError(self.missing(domain, root))

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:
        """The registered pictures of ``domain``, where they are.

        Raises:
            UserError: the domain is not registered, or its files are not those that were.
        """
        self.find(domain, root)
        entry = read_manifest(self.name, domain, root)
        assert entry is not None
        changed = [file.path for file in entry.files if not _is_as_registered(Path(entry.folder, file.path), file.size)]
        if changed:
            raise UserError(
                f"{len(changed)} pictures of {self.name} {domain} in {entry.folder} are gone or differ in size, the "
                f"first {changed[0]!r}; bring them back, or okdbench data add {self.name} PATH"
            )
        label = {name: index for index, name in enumerate(self.classes)}
        folder = Path(entry.folder)
        return [Sample(f"{domain}/{f.name}", label[f.label], folder / f.path, f.sha256) for f in entry.files]

    def note(self, domains: Sequence[str], root: Path) -> str:
        """What of these domains differs from the official pictures; accepted by ``--accept-differences``."""
        entries = {domain: read_manifest(self.name, domain, root) for domain in domains}
        return "; ".join(f"{domain}: {entry.note}" for domain, entry in entries.items() if entry and entry.note)

    @property
    def all_domains(self) -> tuple[str, ...]:
        """The domains, and those that exist only to test on."""
        return tuple(self.counts)

    def missing(self, domain: str, root: Path) -> str:
        """How to get a domain that is not registered."""
        known = [other for other in self.all_domains if manifest_file(self.name, other, root).exists()]
        have = f"there are {', '.join(known)}" if known else "nothing of it is"
        fetch = f"run okdbench data download {self.name}" if self.remotes else f"visit {self.page}"
        return (
            f"{self.name} {domain} is not registered in {root} ({have}); {fetch}, or, if you have a copy, "
            f"okdbench data add {self.name} PATH"
        )


def read_table(text: str, domains: Sequence[str]) -> tuple[tuple[str, ...], Counts]:
    """Classes, and pictures of each in each domain, of lines such as ``mug 94 8 27``.

    >>> read_table("mug 94 8", ("amazon", "dslr"))
    (('mug',), {'amazon': {'mug': 94}, 'dslr': {'mug': 8}})
    """
    rows = [line.split() for line in text.strip().splitlines()]
    counts = {domain: {row[0]: int(row[1 + i]) for row in rows} for i, domain in enumerate(domains)}
    return tuple(row[0] for row in rows), counts


def _is_as_registered(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
