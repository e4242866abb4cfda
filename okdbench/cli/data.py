"""What ``okdbench data`` does: take in pictures that are here, fetch those that are not, and tell what there is."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.core.files import writing
from okdbench.core.progress import counter
from okdbench.data import archives
from okdbench.data.download import fetch
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.folder_scan import find_domains, scan_domain
from okdbench.data.integrity import IntegrityReport, check_integrity
from okdbench.data.manifest import DomainManifest, manifest_file, read_manifest, write_manifest
from okdbench.data.remote import Remote

MB = 1_000_000
#: lies beside what was unpacked here; a folder without it is never deleted
MARK = ".unpacked-by-okdbench"


def add(name: str, path: Path, root: Path, accept_differences: bool = False) -> None:
    """Register the domains of data set ``name`` that are in ``path``, a folder or an archive.

    A folder stays where it is; an archive is unpacked below ``root``. Nothing changes unless all is well.

    Raises:
        UserError: nothing is there, or it differs from what is official and that is not accepted.
    """
    dataset, root = _named(name), root.resolve()
    if not path.exists():
        raise UserError(f"{path} does not exist; name the folder or archive of {name}")
    with _locked(dataset, root):
        folder = _unpack(dataset, path.resolve(), root) if path.is_file() else path.resolve()
        try:
            surveys = look_through(dataset, folder)
            _admit(surveys, accept_differences, f"okdbench data add {name} {path}")
        except BaseException:
            if path.is_file():
                shutil.rmtree(folder.parent, ignore_errors=True)
            raise
        with writing(root, "--data-root"):
            for found in surveys:
                write_manifest(name, found.domain, root, found.manifest)
        for found in surveys:
            print(f"{name} {found.domain}: {len(found.manifest.files)} pictures, digest {found.manifest.digest[:16]}")
        _drop_unused(dataset, root)


def look_through(dataset: FolderDataset, folder: Path) -> list[IntegrityReport]:
    """Read every picture of every domain in ``folder``."""
    scans = find_domains(dataset, folder)
    with counter(f"reading {dataset.name}", sum(len(scan.images) for scan in scans)) as advance:
        return [check_integrity(dataset, scan, advance) for scan in scans]


def download(name: str, domains: list[str], root: Path) -> None:
    """Fetch the archives of ``name`` that hold the wanted domains (all without any), and take them in.

    What is registered already is not fetched again.

    Raises:
        UserError: no source would give it; the message says where to go.
    """
    dataset, root = _named(name), root.resolve()
    for domain in domains:
        if domain not in dataset.all_domains:
            raise UserError(f"{name} has no domain {domain!r}; known: {', '.join(dataset.all_domains)}")
    if not dataset.remotes:
        raise UserError(f"no source of {name} is known: visit {dataset.page}, then okdbench data add {name} PATH")
    for remote in dataset.remotes:
        held = [domain for domain in remote.domains or dataset.all_domains if not domains or domain in domains]
        if all(manifest_file(name, domain, root).exists() for domain in held):
            print(f"{remote.name}: {', '.join(held) or 'nothing wanted'} is here already")
            continue
        archive = _fetch(dataset, remote, root / "downloads" / name)
        try:
            add(name, archive, root)
        finally:
            archive.unlink()  # a wrong one must not be taken for the right one next time


def check(name: str, root: Path) -> None:
    """Read the registered pictures again and print the data passport: counts, digests, duplicates.

    Raises:
        UserError: nothing is registered, or files are not what they were.
    """
    dataset, root = _named(name), root.resolve()
    entries = {domain: entry for domain in dataset.all_domains if (entry := read_manifest(name, domain, root))}
    if not entries:
        raise UserError(dataset.missing(dataset.all_domains[0], root))
    damaged = []
    for domain, entry in entries.items():
        changed = _changed(dataset, domain, entry)
        damaged += [f"{domain} ({len(changed)} files, the first {changed[0]})"] if changed else []
        print(f"{domain}: {len(entry.files)} pictures, {len({f.label for f in entry.files})} classes")
        print(f"  folder {entry.folder}\n  digest {entry.digest}\n  differences {entry.note or 'none'}")
    print("\n".join(duplicates(entries)))
    if damaged:
        what = f"not as registered: {', '.join(damaged)}"
        raise UserError(f"{what}; bring the files back, or okdbench data add {name} PATH")


def duplicates(entries: dict[str, DomainManifest]) -> list[str]:
    """Lines about pictures with equal bytes, within each domain and between each two."""
    contents = {domain: Counter(file.sha256 for file in entry.files) for domain, entry in entries.items()}
    lines = []
    for index, (domain, own) in enumerate(contents.items()):
        again = sum(number - 1 for number in own.values())
        lines.append(f"exact duplicates in {domain}: {again}")
        for other in list(contents)[index + 1 :]:
            lines.append(f"pictures of {domain} that are also in {other}: {sum((own & contents[other]).values())}")
    return lines


def show(root: Path) -> None:
    """Print one line for each domain of each data set: pictures and folder, or that it is missing."""
    for dataset in _all():
        for domain in dataset.all_domains:
            print(f"{dataset.name}\t{domain}\t{_state(dataset.name, domain, root)}".rstrip())


def remove(name: str, root: Path) -> None:
    """Forget data set ``name``: its entries, caches, downloads and what was unpacked; never a folder of the user's."""
    dataset, root = _named(name), root.resolve()
    with _locked(dataset, root):
        own = [root / "registered" / name, root / "downloads" / name, *_unpacked(dataset, root)]
        doomed = [path for path in (*own, *sorted((root / "cache").glob(f"{name}-*"))) if path.exists()]
        for path in doomed:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            print(f"removed {path}")
    if not doomed:
        raise UserError(f"nothing of {name} is in {root}; okdbench data ls lists what is")


def _named(name: str) -> FolderDataset:
    dataset = registry.load_dataset(name)
    if not isinstance(dataset, FolderDataset):
        names = ", ".join(each.name for each in _all())
        raise UserError(f"{name} is not kept here: it is looked up in every run; okdbench data is for {names}")
    return dataset


def _all() -> list[FolderDataset]:
    datasets = [registry.load_dataset(name) for name in plugins.dataset_names()]
    return [dataset for dataset in datasets if isinstance(dataset, FolderDataset)]


@contextmanager
def _locked(dataset: FolderDataset, root: Path) -> Iterator[None]:
    """One process at a time changes what is known of a data set; tells at once when ``root`` cannot be written."""
    lock = root / "registered" / f"{dataset.name}.lock"
    with writing(root, "--data-root"):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def _state(name: str, domain: str, root: Path) -> str:
    try:
        entry = read_manifest(name, domain, root)
    except UserError as error:
        return f"damaged: {error}"
    return f"{len(entry.files)} pictures\t{entry.folder}\t{entry.note}" if entry else "not registered"


def _changed(dataset: FolderDataset, domain: str, entry: DomainManifest) -> list[str]:
    """The files that are gone, new or not what they were."""
    if not Path(entry.folder).is_dir():
        return [file.name for file in entry.files]
    scan = scan_domain(dataset, domain, Path(entry.folder))
    with counter(f"reading {dataset.name} {domain}", len(scan.images)) as advance:
        now = check_integrity(dataset, scan, advance).manifest
    return sorted({file.name for file in set(now.files) ^ set(entry.files)})


def _admit(surveys: list[IntegrityReport], accept: bool, command: str) -> None:
    """Print every difference; raise UserError unless there is none or they are accepted."""
    lines = [f"{found.domain}: {text}" for found in surveys for text in found.differences]
    for line in lines:
        print(f"okdbench: {line}", file=sys.stderr)
    empty = [found.domain for found in surveys if not found.manifest.files]
    if empty:
        raise UserError(f"{', '.join(empty)}: no picture can be used; nothing is registered")
    if lines and not accept:
        raise UserError(
            f"nothing is registered, for this differs from the official pictures in the {len(lines)} points above; "
            f"bring the right copy, or take it as it is, which every record will say: {command} --accept-differences"
        )


def _unpack(dataset: FolderDataset, archive: Path, root: Path) -> Path:
    """The pictures of the archive, in a folder beside a mark that it is ours to delete."""
    if not archives.is_archive(archive):
        raise UserError(f"{archive} is neither a folder nor a zip or tar archive")
    stem = archive.name.partition(".")[0]
    folder, number = root / "images" / dataset.name / stem, 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{stem}-{number}")
    with writing(root, "--data-root"):
        folder.mkdir(parents=True)
        (folder / MARK).touch()
    try:
        with counter(f"unpacking {archive.name} (MB)", archive.stat().st_size // MB) as advance:
            archives.extract(archive, folder / "content", progress=_in_mb(advance))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / "content"


def _unpacked(dataset: FolderDataset, root: Path) -> list[Path]:
    """The folders that :func:`_unpack` has made."""
    return sorted(mark.parent for mark in (root / "images" / dataset.name).glob(f"*/{MARK}"))


def _drop_unused(dataset: FolderDataset, root: Path) -> None:
    """Delete what was unpacked for entries that have been replaced since."""
    try:
        entries = [read_manifest(dataset.name, domain, root) for domain in dataset.all_domains]
    except UserError:  # one of them is damaged, and nobody knows what it needs
        return
    used = [Path(entry.folder) for entry in entries if entry]
    for folder in _unpacked(dataset, root):
        if not any(place.is_relative_to(folder) for place in used):
            shutil.rmtree(folder, ignore_errors=True)
            print(f"removed {folder}, which nothing needs any more")


def _fetch(dataset: FolderDataset, remote: Remote, folder: Path) -> Path:
    try:
        with counter(f"fetching {remote.name} (MB)", (remote.size or 0) // MB) as advance:
            return fetch(remote, folder, _in_mb(advance))
    except UserError as error:
        place = folder / remote.name
        by_hand = f"visit {dataset.page}, save {remote.name} as {place}"
        raise UserError(f"{error}; or {by_hand}, then okdbench data add {dataset.name} {place}") from error


def _in_mb(advance: Callable[[int], None]) -> Callable[[int, int | None], None]:
    """Pass on bytes so far as new megabytes."""
    seen = 0

    def progress(done: int, _total: int | None) -> None:
        nonlocal seen
        advance(done // MB - seen)
        seen = done // MB

    return progress
