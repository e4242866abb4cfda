"""``okdbench data``: register, download, check, describe, list and remove data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import DataRoot, ListFormat, examples
from okdbench.core.errors import UserError
from okdbench.core.files import default_data_root
from okdbench.core.terminal import TableColumn, print_line, print_rows

if TYPE_CHECKING:
    from okdbench.data.custom_dataset import OwnDataset
    from okdbench.data.folder_dataset import FolderDataset
    from okdbench.data.manifest import DomainManifest
    from okdbench.data.registration import Registration

app = typer.Typer(no_args_is_help=True, help="Register, download, check, list and remove data sets.")

Name = Annotated[str, typer.Argument(metavar="DATASET", help="Data set.", autocompletion=completion.datasets)]

COLUMNS = (
    TableColumn("dataset"),
    TableColumn("domain"),
    TableColumn("state"),
    TableColumn("images", align="right", drop=1, text="{:,}".format),
    TableColumn("folder", drop=2),
    TableColumn("note", drop=3, folds=True),
)


@app.command(
    "add",
    epilog=examples(
        "data add office31 ~/Downloads/domain_adaptation_images.tar.gz", "data add cifar100 photos --domain own"
    ),
)
def add(
    name: Name,
    path: Annotated[Path, typer.Argument(help="Folder or archive; its top folder and spelling do not matter.")],
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="Register it although it differs; every record will say so.")
    ] = False,
    domain: Annotated[
        str | None,
        typer.Option(metavar="DOMAIN", help="The one domain that is there, whatever its folder is called."),
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Read every image of a copy that you have, compare it with the official counts, and register it."""
    from okdbench.data.registration import register

    root = data_root or default_data_root()
    with interruptible():
        _report(name, register(_folder_dataset(name), path, root, accept_differences, domain))


@app.command("download", epilog=examples("data download visda --domain validation"))
def download(
    name: Name,
    domain: Annotated[
        list[str] | None, typer.Option(metavar="DOMAIN", help="Only this domain; repeat it for more.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Download a data set, resume where an earlier download stopped, and register it."""
    from okdbench.data.registration import download as downloads

    with interruptible():
        # One archive after the other: what is registered stays when a later one fails.
        for done in downloads(_folder_dataset(name), domain or [], data_root or default_data_root()):
            if done.registration:
                _report(name, done.registration)
            else:
                names = ", ".join(done.names)
                print(f"{names}: {', '.join(done.domains) or 'nothing wanted'} is registered already")


@app.command("check", epilog=examples("data check office10", "data check shop.yaml"))
def check(name: Name, data_root: DataRoot = None) -> None:
    """Read the images of a registered or of your own data set; print counts, digests and duplicates."""
    from okdbench import registry
    from okdbench.data.custom_dataset import OwnDataset

    dataset = registry.load_dataset(name)
    if isinstance(dataset, OwnDataset):
        _check_own(dataset, data_root or default_data_root())
    else:
        _check_registered(name, data_root)


@app.command("embed", epilog=examples("data embed shop.yaml --output shop-names.safetensors"))
def embed(
    names: Annotated[
        list[str], typer.Argument(metavar="DATASET...", help="Data sets.", autocompletion=completion.datasets)
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="File of embeddings to write.")],
) -> None:
    """Write text embeddings of the names of the classes, for methods that read them."""
    from okdbench import registry
    from okdbench.data.class_embeddings import ENCODER, encode, write_embeddings

    classes = list(dict.fromkeys(one for name in names for one in registry.load_dataset(name).classes))
    write_embeddings(output, classes, encode(classes), ENCODER)
    print_line(f"{output}: {len(classes)} classes, by {ENCODER}")


@app.command("ls", epilog=examples("data ls", "data ls --format json"))
def list_data(data_root: DataRoot = None, form: ListFormat = "text") -> None:
    """List the domains of each data set, and what is registered."""
    root = data_root or default_data_root()
    # All domains: those of official test splits are registered as well, although no setting names them.
    rows = [_state(dataset.name, domain, root) for dataset in _folder_datasets() for domain in dataset.all_domains]
    print_rows(COLUMNS, rows, form)


@app.command("rm", epilog=examples("data rm office31"))
def remove(name: Name, data_root: DataRoot = None) -> None:
    """Remove a data set's registration, caches and unpacked archives; your own folders stay."""
    from okdbench.data.registration import unregister

    for path in unregister(_folder_dataset(name), data_root or default_data_root()):
        print_line(f"removed {path}")


def _check_registered(name: str, data_root: Path | None) -> None:
    from okdbench.data.passport import inspect

    with interruptible():
        passport = inspect(_folder_dataset(name), data_root or default_data_root())
    _print_passport(
        passport.entries, {at: [f"differences {one.note or 'none'}"] for at, one in passport.entries.items()}
    )
    # Reported last, so that the passport is printed in any case.
    damaged = [f"{at} ({len(files)} files, the first {files[0]})" for at, files in passport.changed.items() if files]
    if damaged:
        cure = f"bring the files back, or okdbench data add {name} PATH"
        raise UserError(f"not as registered: {', '.join(damaged)}; {cure}")


def _check_own(dataset: OwnDataset, root: Path) -> None:
    from okdbench.data.own_passport import inspect_own

    with interruptible():
        passport = inspect_own(dataset, root)
    _print_passport(passport.entries, passport.lines)
    for remark in dataset.remarks():
        print_line(remark)
    if passport.damaged:
        files = ", ".join(passport.damaged)
        raise UserError(f"{len(passport.damaged)} images cannot be read: {files}; replace or delete them")


def _print_passport(entries: Mapping[str, DomainManifest], lines: Mapping[str, Sequence[str]]) -> None:
    """Print the domains with further lines about each, and how many images are there twice."""
    from okdbench.data.class_order import shortened
    from okdbench.data.passport import contradictions, duplicates

    for domain, entry in entries.items():
        print_line(f"{domain}: {len(entry.files)} images, {len({file.label for file in entry.files} - {''})} classes")
        for line in (f"folder {entry.folder}", f"digest {entry.digest}", *lines[domain]):
            print_line(f"  {line}")
    for (domain, other), number in duplicates(entries).items():
        across = f"images of {domain} with an equal file in {other}"
        print_line(f"{across if domain != other else f'exact duplicates in {domain}'}: {number}")
    if names := contradictions(entries):
        print_line(f"warning: {len(names)} images are equal to one of another class: {shortened(names)}")


def _report(name: str, registration: Registration) -> None:
    for found in registration.domains:
        # The first 16 digits tell two copies apart; okdbench data check prints all of them.
        print_line(f"{name} {found.domain}: {len(found.manifest.files)} images, digest {found.manifest.digest[:16]}")
    for folder in registration.removed:
        print_line(f"removed {folder}, which nothing needs any more")


def _state(name: str, domain: str, root: Path) -> dict[str, Any]:
    from okdbench.data.manifest import read_manifest

    row: dict[str, Any] = {"dataset": name, "domain": domain, "state": "missing"}
    try:
        entry = read_manifest(name, domain, root)
    except UserError as error:
        # Not raised: the other domains are still worth listing.
        return {**row, "state": "damaged", "note": str(error)}
    if entry is None:
        return row
    return {**row, "state": "registered", "images": len(entry.files), "folder": entry.folder, "note": entry.note}


def _folder_dataset(name: str) -> FolderDataset:
    """The data set of this name, which must be one of image folders."""
    from okdbench import registry
    from okdbench.data.folder_dataset import FolderDataset

    dataset = registry.load_dataset(name)
    if not isinstance(dataset, FolderDataset):
        names = ", ".join(each.name for each in _folder_datasets())
        raise UserError(f"{name} is never registered: every run finds it by itself; okdbench data is for {names}")
    return dataset


def _folder_datasets() -> list[FolderDataset]:
    from okdbench import registry
    from okdbench.core import plugins
    from okdbench.data.folder_dataset import FolderDataset

    datasets = [registry.load_dataset(name) for name in plugins.dataset_names()]
    return [dataset for dataset in datasets if isinstance(dataset, FolderDataset)]
