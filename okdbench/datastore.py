"""What ``okdbench data`` does: take in pictures that are here, fetch those that are not, and tell what there is."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

from okdbench import registry
from okdbench.data import archives
from okdbench.data.download import Remote, fetch
from okdbench.data.folders import FolderDataset
from okdbench.data.register import Entry, read_entry, write_entry
from okdbench.data.survey import Survey, count_files, find_domains, survey
from okdbench.errors import UserError
from okdbench.progress import counter
from okdbench.records import writing

MB = 1_000_000


def add(name: str, path: Path, root: Path, accept_differences: bool = False) -> None:
    """Register the domains of data set ``name`` that are in ``path``, a folder or an archive.

    A folder stays where it is; an archive is unpacked below ``root``. Nothing changes unless all is well.

    Raises:
        UserError: nothing is there, or it differs from what is official and that is not accepted.
    """
    dataset = _named(name)
    if not path.exists():
        raise UserError(f"{path} does not exist; name the folder or archive of {name}")
    folder = path.resolve()
    with writing(root, "--data-root"):
        if path.is_file():
            folder = _unpack(dataset, folder, root)
        try:
            surveys = look_through(dataset, folder)
            _admit(surveys, accept_differences, f"okdbench data add {name} {path}")
        except BaseException:
            if path.is_file():
                shutil.rmtree(folder, ignore_errors=True)
            raise
        for found in surveys:
            write_entry(name, found.domain, root, found.entry)
            print(f"{name} {found.domain}: {len(found.entry.files)} pictures, digest {found.entry.digest[:16]}")
        _drop_unused(dataset, root)


def look_through(dataset: FolderDataset, folder: Path) -> list[Survey]:
    """Read every picture of every domain in ``folder``."""
    places = find_domains(dataset, folder)
    total = sum(count_files(dataset, domain, place) for domain, place in places.items())
    with counter(f"reading {dataset.name}", total) as advance:
        return [survey(dataset, domain, place, advance) for domain, place in places.items()]


def download(name: str, domains: list[str], root: Path) -> None:
    """Fetch the archives of ``name`` that hold the wanted domains (all without any), and take them in.

    Raises:
        UserError: no source would give it; the message says where to go.
    """
    dataset = _named(name)
    wanted = [remote for remote in dataset.remotes if not domains or {*remote.domains} & {*domains}]
    unknown = [domain for domain in domains if domain not in dataset.all_domains]
    if unknown:
        raise UserError(f"{name} has no domain {unknown[0]!r}; known: {', '.join(dataset.all_domains)}")
    if not wanted:
        raise UserError(f"no source of {name} is known: visit {dataset.page}, then okdbench data add {name} PATH")
    for remote in wanted:
        archive = _fetch(dataset, remote, root / "downloads" / name)
        add(name, archive, root)
        archive.unlink()


def check(name: str, root: Path) -> None:
    """Read the registered pictures again and print the data passport: counts, digests, duplicates.

    Raises:
        UserError: nothing is registered, or files are not what they were.
    """
    dataset = _named(name)
    entries = _entries(dataset, root)
    if not entries:
        raise UserError(dataset.missing(dataset.all_domains[0], root))
    damaged = []
    for domain, entry in entries.items():
        with counter(f"reading {name} {domain}", len(entry.files)) as advance:
            now = survey(dataset, domain, Path(entry.folder), advance).entry
        state = "" if now.digest == entry.digest else "  CHANGED since it was registered"
        damaged += [domain] if state else []
        print(f"{domain}: {len(entry.files)} pictures, {len({f.label for f in entry.files})} classes{state}")
        print(f"  folder {entry.folder}\n  digest {entry.digest}\n  differences {entry.note or 'none'}")
    print("\n".join(duplicates(entries)))
    if damaged:
        raise UserError(
            f"{', '.join(damaged)}: not as registered; bring the files back, or okdbench data add {name} PATH"
        )


def duplicates(entries: dict[str, Entry]) -> list[str]:
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
            entry = read_entry(dataset.name, domain, root)
            state = f"{len(entry.files)} pictures\t{entry.folder}\t{entry.note}" if entry else "not registered"
            print(f"{dataset.name}\t{domain}\t{state}".rstrip())


def remove(name: str, root: Path) -> None:
    """Forget data set ``name``: its entries, caches, downloads and what was unpacked; never a folder of the user's."""
    dataset = _named(name)
    own = [root / "registered" / name, root / "pictures" / name, root / "downloads" / name]
    doomed = [path for path in (*own, *sorted((root / "cache").glob(f"{name}-*"))) if path.exists()]
    kept = [place for place in _folders(dataset, root) if not place.is_relative_to(root / "pictures")]
    with writing(root, "--data-root"):
        for path in doomed:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            print(f"removed {path}")
    for place in kept:
        print(f"kept {place}")
    if not doomed:
        raise UserError(f"nothing of {name} is in {root}; okdbench data ls lists what is")


def _named(name: str) -> FolderDataset:
    dataset = registry.load_dataset(name)
    if not isinstance(dataset, FolderDataset):
        names = ", ".join(each.name for each in _all())
        raise UserError(f"{name} needs no files of its own; okdbench data is for {names}")
    return dataset


def _all() -> list[FolderDataset]:
    datasets = [registry.load_dataset(name) for name in registry.dataset_names()]
    return [dataset for dataset in datasets if isinstance(dataset, FolderDataset)]


def _entries(dataset: FolderDataset, root: Path) -> dict[str, Entry]:
    found = {domain: read_entry(dataset.name, domain, root) for domain in dataset.all_domains}
    return {domain: entry for domain, entry in found.items() if entry}


def _folders(dataset: FolderDataset, root: Path) -> list[Path]:
    return [Path(entry.folder) for entry in _entries(dataset, root).values()]


def _admit(surveys: list[Survey], accept: bool, command: str) -> None:
    """Print every difference; raise UserError unless there is none or they are accepted."""
    lines = [f"{found.domain}: {text}" for found in surveys for text in found.differences]
    for line in lines:
        print(f"okdbench: {line}", file=sys.stderr)
    empty = [found.domain for found in surveys if not found.entry.files]
    if empty:
        raise UserError(f"{', '.join(empty)}: no picture can be used; nothing is registered")
    if lines and not accept:
        raise UserError(
            f"nothing is registered, for this differs from the official pictures in the {len(lines)} points above; "
            f"bring the right copy, or take it as it is, which every record will say: {command} --accept-differences"
        )


def _unpack(dataset: FolderDataset, archive: Path, root: Path) -> Path:
    """A folder of the archive's own below ``root``."""
    if not archives.is_archive(archive):
        raise UserError(f"{archive} is neither a folder nor a zip or tar archive")
    stem = archive.name.partition(".")[0]
    folder, number = root / "pictures" / dataset.name / stem, 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{stem}-{number}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    archives.extract(archive, folder)
    return folder


def _drop_unused(dataset: FolderDataset, root: Path) -> None:
    """Delete what was unpacked for entries that have been replaced since."""
    used = _folders(dataset, root)
    for folder in (root / "pictures" / dataset.name).glob("*"):
        if not any(place.is_relative_to(folder) for place in used):
            shutil.rmtree(folder, ignore_errors=True)


def _fetch(dataset: FolderDataset, remote: Remote, folder: Path) -> Path:
    try:
        with counter(f"fetching {remote.name} (MB)", (remote.size or 0) // MB) as advance:
            seen = 0

            def progress(done: int, total: int | None) -> None:  # noqa: ARG001 - the size is known, or nobody knows it
                nonlocal seen
                advance(done // MB - seen)
                seen = done // MB

            return fetch(remote, folder, progress)
    except UserError as error:
        raise UserError(
            f"{error}; visit {dataset.page}, get {remote.name} there, then okdbench data add {dataset.name} PATH"
        ) from error
