"""Options that several commands share, and what becomes of Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs, teachers and records.")]
Budget = Annotated[str | None, typer.Option(help="smoke, quick, standard or paper.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="Hyper-parameter, key=value.")]
Config = Annotated[Path | None, typer.Option(help="YAML file of options; the command line wins.")]
Teacher = Annotated[str | None, typer.Option(help="timm classifier.")]
Student = Annotated[str | None, typer.Option(help="timm classifier.")]
Pretrained = Annotated[bool | None, typer.Option(help="Start both from timm's weights.")]
TeacherWeights = Annotated[Path | None, typer.Option(help="Your teacher: .safetensors or state dict.")]
ImageSize = Annotated[int | None, typer.Option(help="Side of the pictures in pixels.")]
Precision = Annotated[str | None, typer.Option(help="float32 or bfloat16.")]
TestSplit = Annotated[str | None, typer.Option(help="protocol, or official: the data set's own test pictures.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1.")]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder of data sets and caches.")]


@contextmanager
def interruptible(cure: str = "the same command goes on from where it stopped") -> Iterator[None]:
    """Say how to go on after Ctrl-C; caught here, because typer would swallow it without a word."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"okdbench: interrupted; {cure}", file=sys.stderr)
        raise typer.Exit(130) from None
