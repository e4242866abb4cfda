"""Data sets that are published as folders: one folder per domain, one sub-folder per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from okdbench.core.errors import UserError, os_reason
from okdbench.data.array_source import ArrayFiles
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.manifest import manifest_file, read_manifest
from okdbench.data.remote import Remote

Counts = Mapping[str, Mapping[str, int]]


class FolderDataset(Dataset):
    """Images on this machine that ``okdbench data add`` has verified and registered."""

    #: domain -> class -> official number of images, in the order of ``classes``; of an unlabelled domain, the number of
    #: all images under the name "", or nothing where any number is right
    counts: ClassVar[Counts]
    #: class or domain -> other spellings; case, spaces and punctuation never matter
    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: domain without class folders -> names of the text file with a path and a class index per line
    lists: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: domain -> the files that hold its images as arrays; ``okdbench data add`` makes image files of them
    arrays: ClassVar[Mapping[str, ArrayFiles]] = {}
    #: whether class folders that are not in ``classes`` are ignored
    is_subset: ClassVar[bool] = False
    #: web page of the data set
    page: ClassVar[str]
    #: archives that ``okdbench data download`` fetches
    remotes: ClassVar[tuple[Remote, ...]] = ()

    def facts(self) -> list[str]:
        """Official counts, web page and download sources."""
        counts = ", ".join(f"{domain} {sum(by.values()):,}" if by else domain for domain, by in self.counts.items())
        sources = [url for remote in self.remotes for url in remote.urls]
        return [f"images: {counts}", f"page: {self.page}", f"sources: {', '.join(sources) or 'none known'}"]

    def find(self, domain: str, root: Path) -> None:
        """Check that the domain is registered.

        Raises:
            UserError: it is not; the message says how to get its images.
        """
        file = manifest_file(self.name, domain, root)
        try:
            known = file.exists()
        except OSError as error:
            raise UserError(f"cannot read {file}: {os_reason(error)}; check --data-root") from error
        if not known:
            raise UserError(self.missing(domain, root))

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:
        """The registered images of ``domain``.

        Raises:
            UserError: the domain is not registered, or its files have changed since.
        """
        self.find(domain, root)
        manifest = read_manifest(self.name, domain, root)
        assert manifest is not None
        folder = Path(manifest.folder)
        # The size is quick to check here; the content is checked against its hash when the image is decoded.
        changed = [entry.path for entry in manifest.files if not _has_size(folder / entry.path, entry.size)]
        if changed:
            raise UserError(
                f"{len(changed)} images of {self.name} {domain} in {manifest.folder} are missing or have changed size, "
                f"the first {changed[0]!r}; restore them, or run okdbench data add {self.name} PATH"
            )
        label = {name: index for index, name in enumerate(self.classes)} | (
            {"": -1} if domain in self.unlabelled else {}
        )
        return [Sample(f"{domain}/{e.name}", label[e.label], folder / e.path, e.sha256) for e in manifest.files]

    def note(self, domains: Sequence[str], root: Path) -> str:
        """How these domains differ from the official ones, as accepted with ``--accept-differences``.

        Raises:
            UserError: a manifest is damaged.
        """
        manifests = {domain: read_manifest(self.name, domain, root) for domain in domains}
        return "; ".join(f"{domain}: {found.note}" for domain, found in manifests.items() if found and found.note)

    @property
    def all_domains(self) -> tuple[str, ...]:
        """The domains of ``domains``, and those that are only tested on."""
        return tuple(self.counts)

    def missing(self, domain: str, root: Path) -> str:
        """Error message for a domain that is not registered: which domains are, and how to get this one."""
        known = [other for other in self.all_domains if manifest_file(self.name, other, root).exists()]
        have = f"registered: {', '.join(known)}" if known else "no domain of it is"
        fetch = f"run okdbench data download {self.name}" if self.remotes else f"visit {self.page}"
        return (
            f"{self.name} {domain} is not registered in {root} ({have}); {fetch}, or, if you have a copy, "
            f"okdbench data add {self.name} PATH"
        )


def read_table(text: str, domains: Sequence[str]) -> tuple[tuple[str, ...], Counts]:
    """Parse a table with one line per class: its name and its number of images in each of ``domains``.

    >>> read_table("mug 94 8", ("amazon", "dslr"))
    (('mug',), {'amazon': {'mug': 94}, 'dslr': {'mug': 8}})
    """
    rows = [line.split() for line in text.strip().splitlines()]
    counts = {domain: {row[0]: int(row[1 + i]) for row in rows} for i, domain in enumerate(domains)}
    return tuple(row[0] for row in rows), counts


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
