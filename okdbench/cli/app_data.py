"""The commands of ``okdbench data``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.options import DataRoot, interruptible
from okdbench.core.files import default_data_root

app = typer.Typer(no_args_is_help=True, help="Take in, fetch, check, list and forget data sets.")
Name = Annotated[str, typer.Argument(help="Data set.")]


@app.command("add", epilog="Example: okdbench data add office31 ~/Downloads/domain_adaptation_images.tar.gz")
def data_add(
    name: Name,
    path: Annotated[Path, typer.Argument(help="Folder or archive; any top folder, any usual spelling.")],
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="Take it although it differs; every record will say so.")
    ] = False,
    data_root: DataRoot = None,
) -> None:
    """Read every picture of a copy that you have, compare it with the official counts, and register it."""
    from okdbench.cli import data as datastore

    with interruptible():
        datastore.add(name, path, data_root or default_data_root(), accept_differences)


@app.command("download", epilog="Example: okdbench data download visda --domain validation")
def data_download(
    name: Name,
    domain: Annotated[list[str] | None, typer.Option(help="Only this domain; may be given several times.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Fetch a data set, go on where an earlier download stopped, and register it."""
    from okdbench.cli import data as datastore

    with interruptible():
        datastore.download(name, domain or [], data_root or default_data_root())


@app.command("check", epilog="Example: okdbench data check office10")
def data_check(name: Name, data_root: DataRoot = None) -> None:
    """Read the registered pictures again; print counts, digests and duplicates."""
    from okdbench.cli import data as datastore

    with interruptible():
        datastore.check(name, data_root or default_data_root())


@app.command("ls", epilog="Example: okdbench data ls")
def data_ls(data_root: DataRoot = None) -> None:
    """List what is registered."""
    from okdbench.cli import data as datastore

    datastore.show(data_root or default_data_root())


@app.command("rm", epilog="Example: okdbench data rm office31")
def data_rm(name: Name, data_root: DataRoot = None) -> None:
    """Forget a data set and its caches; your own folders stay."""
    from okdbench.cli import data as datastore

    datastore.remove(name, data_root or default_data_root())
