"""``okdbench export``: a student as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import RunsFolder, StudentNetwork, choice, examples
from okdbench.core.export_formats import ENDINGS
from okdbench.core.terminal import check_format

app = typer.Typer()

FORMATS = tuple(ENDINGS)


@app.command(epilog=examples("export 3f9a --format onnx --output student.onnx"))
def export(
    run: Annotated[
        str,
        typer.Argument(help="Key of a run or its beginning, or a run's folder.", autocompletion=completion.run_keys),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=choice(FORMATS),
            help="Kind of file. [dim]\\[default: by the ending of --output, else safetensors][/]",
            show_default=False,
            autocompletion=completion.of(FORMATS),
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The file. [dim]\\[default: student-KEY in this folder][/]", show_default=False
        ),
    ] = None,
    runs: RunsFolder = Path("runs"),
    network: StudentNetwork = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Write a run's student as one file, with its classes and its origin, and check that it gives the same logits."""
    form = form or next((kind for kind, ending in ENDINGS.items() if output and output.suffix == ending), FORMATS[0])
    check_format(form, FORMATS)  # before torch is loaded
    from okdbench.training import export as exporting

    exporting.export(run, form, output, runs, network, force)
