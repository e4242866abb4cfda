"""Registers copies of folder data sets: reads every image, compares it with the official counts, remembers the folder.

A folder of the user's is used where it is and never changed. An archive is unpacked below the data root
(:mod:`okdbench.data.unpacked`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.core.files import writing
from okdbench.core.locks import Lock
from okdbench.core.notices import say
from okdbench.core.progress import counter
from okdbench.data.array_folders import find_arrays, is_array_file, make_folders
from okdbench.data.download import fetch
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.folder_scan import DomainScan, find_domains
from okdbench.data.integrity import IntegrityReport, check_integrity
from okdbench.data.manifest import manifest_file, read_manifest, write_manifest
from okdbench.data.remote import Remote
from okdbench.data.unpacked import MB, in_megabytes, unpack, unpacked_folders


class Registration(NamedTuple):
    """What was registered, and the folders of earlier copies that were removed because nothing needs them."""

    domains: list[IntegrityReport]
    removed: list[Path]


class Download(NamedTuple):
    """What became of one remote archive, or of all files of one domain; None if they are registered already."""

    names: list[str]
    domains: list[str]
    registration: Registration | None


def register(
    dataset: FolderDataset, path: Path, root: Path, accept_differences: bool = False, domain: str | None = None
) -> Registration:
    """Register the domains of ``dataset`` that are in ``path``; nothing changes unless all of them can be.

    Args:
        dataset: which data set it is.
        path: a folder, which stays where it is, or an archive, which is unpacked below ``root``.
        root: the data folder.
        accept_differences: register a copy that differs from the official one; every record will say so.
        domain: the one domain that is in ``path``, whatever its folder is called; None to go by the names.

    Raises:
        UserError: nothing is there, or it differs from the official copy and that is not accepted.
    """
    root = root.resolve()
    if not path.exists():
        raise UserError(f"{path} does not exist; name the folder or archive of {dataset.name}")
    if domain is not None:
        _check_domain(dataset, domain)
    with _locked(dataset, root), _images(dataset, path.resolve(), root, domain) as folders:
        reports = _check(dataset, folders, domain)
        _refuse_differences(reports, accept_differences, f"okdbench data add {dataset.name} {path}")
        with writing(root, "--data-root"):
            for found in reports:
                write_manifest(dataset.name, found.domain, root, found.manifest)
        return Registration(reports, _remove_unused(dataset, root))


def download(dataset: FolderDataset, domains: Sequence[str], root: Path) -> Iterator[Download]:
    """Fetch and register the archives that hold the wanted domains, all without any; yields each when it is done.

    What is registered already is not fetched again.

    Raises:
        UserError: no source delivers it; the message says where to get it by hand.
    """
    root = root.resolve()
    for domain in domains:
        _check_domain(dataset, domain)
    if not dataset.remotes:
        by_hand = f"visit {dataset.page}, then okdbench data add {dataset.name} PATH"
        raise UserError(f"no source of {dataset.name} is known: {by_hand}")
    for held, group in groupby(dataset.remotes, lambda remote: remote.domains or dataset.all_domains):
        remotes = list(group)
        wanted = [domain for domain in held if not domains or domain in domains]
        names = [remote.name for remote in remotes]
        if all(manifest_file(dataset.name, domain, root).exists() for domain in wanted):
            yield Download(names, wanted, None)
            continue
        folder = root / "downloads" / dataset.name / (held[0] if len(remotes) > 1 else "")
        files = [_fetch(dataset, remote, folder) for remote in remotes]
        # Several files are of one domain, and together in a folder.
        place, only = (folder, held[0]) if len(files) > 1 else (files[0], None)
        try:
            yield Download(names, wanted, register(dataset, place, root, domain=only))
        finally:
            for file in files:
                file.unlink()  # a wrong one must not be taken for the right one next time


def unregister(dataset: FolderDataset, root: Path) -> list[Path]:
    """Delete all that okdbench keeps of ``dataset`` below ``root``, and return it; never a folder of the user's.

    Raises:
        UserError: there is nothing.
    """
    root = root.resolve()
    with _locked(dataset, root):
        own = [
            root / "registered" / dataset.name,
            root / "downloads" / dataset.name,
            *unpacked_folders(dataset.name, root),
        ]
        caches = sorted((root / "cache").glob(f"{dataset.name}-*"))
        removed = [path for path in (*own, *caches) if path.exists()]
        for path in removed:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not removed:
        raise UserError(f"nothing of {dataset.name} is in {root}; okdbench data ls lists what is")
    return removed


def _check_domain(dataset: FolderDataset, domain: str) -> None:
    if domain not in dataset.all_domains:
        raise UserError(f"{dataset.name} has no domain {domain!r}; known: {', '.join(dataset.all_domains)}")


@contextmanager
def _images(dataset: FolderDataset, path: Path, root: Path, domain: str | None) -> Iterator[list[Path]]:
    """The folders with the images in ``path``; what is made for them is deleted when an error is raised inside."""
    made: list[Path] = []
    try:
        whole = path.is_dir()
        if not whole and not is_array_file(dataset, path):
            made.append(unpack(path, dataset.name, root))
            path, whole = made[0], True
        found = find_arrays(dataset, path if whole else path.parent, domain)
        if not whole:
            found = {name: files for name, files in found.items() if path in files}
            if not found:
                raise UserError(f"{path} is one of several files; put all of a domain into one folder and name that")
        if found:
            made.append(make_folders(dataset, found, root))
        yield [made[-1], *([path] if whole else [])] if found else [path]
    except BaseException:
        for folder in made:
            shutil.rmtree(folder.parent, ignore_errors=True)
        raise


@contextmanager
def _locked(dataset: FolderDataset, root: Path) -> Iterator[None]:
    """One process at a time changes what is registered of a data set; fails at once when ``root`` is read-only."""
    file = root / "registered" / f"{dataset.name}.lock"
    with writing(root, "--data-root"):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = Lock(file)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check(dataset: FolderDataset, folders: Sequence[Path], domain: str | None) -> list[IntegrityReport]:
    """Read every image of every domain in these folders; of a domain that is in several, those in the first."""
    scans: dict[str, DomainScan] = {}
    for folder in folders:
        for scan in find_domains(dataset, folder, domain, none_is_fine=bool(scans)):
            scans.setdefault(scan.domain, scan)
    with counter(f"reading {dataset.name}", sum(len(scan.images) for scan in scans.values())) as advance:
        return [check_integrity(dataset, scan, advance) for scan in scans.values()]


def _refuse_differences(reports: Sequence[IntegrityReport], accept: bool, command: str) -> None:
    """Print every difference on standard error; raise UserError unless there is none or they are accepted."""
    lines = [f"{found.domain}: {text}" for found in reports for text in found.differences]
    for line in lines:
        say(line)
    empty = [found.domain for found in reports if not found.manifest.files]
    if empty:
        raise UserError(f"{', '.join(empty)}: no image can be used; nothing is registered")
    if lines and not accept:
        raise UserError(
            f"nothing is registered, because this differs from the official images in the {len(lines)} points above; "
            f"bring the right copy, or take it as it is, which every record will say: {command} --accept-differences"
        )


def _remove_unused(dataset: FolderDataset, root: Path) -> list[Path]:
    """Delete what was unpacked for entries that have been replaced since, and return it."""
    try:
        entries = [read_manifest(dataset.name, domain, root) for domain in dataset.all_domains]
    except UserError:  # one of them is damaged: what it needs is unknown
        return []
    used = [Path(entry.folder) for entry in entries if entry]
    unused = [
        path for path in unpacked_folders(dataset.name, root) if not any(place.is_relative_to(path) for place in used)
    ]
    for folder in unused:
        shutil.rmtree(folder, ignore_errors=True)
    return unused


def _fetch(dataset: FolderDataset, remote: Remote, folder: Path) -> Path:
    try:
        with counter(f"fetching {remote.name} (MB)", (remote.size or 0) // MB) as advance:
            return fetch(remote, folder, in_megabytes(advance))
    except UserError as error:
        place = folder / remote.name
        by_hand = f"visit {dataset.page}, save {remote.name} as {place}"
        raise UserError(f"{error}; or {by_hand}, then okdbench data add {dataset.name} {place}") from error
