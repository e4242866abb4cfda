"""``okdbench data`` as functions that take a name, what there is to do, and a data root."""

from __future__ import annotations

from pathlib import Path

from okdbench.cli import data


def add(name: str, path: Path, root: Path, accept_differences: bool = False, domain: str | None = None) -> None:
    data.add(name, path, accept_differences, domain, root)


def download(name: str, domains: list[str], root: Path) -> None:
    data.download(name, domains, root)


def check(name: str, root: Path) -> None:
    data.check(name, root)


def show(root: Path) -> None:
    data.list_data(root)


def remove(name: str, root: Path) -> None:
    data.remove(name, root)
