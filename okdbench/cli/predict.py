"""``okdbench predict``: the classes of images, by a run's student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import Device, RunsFolder, StudentNetwork, examples

app = typer.Typer()


@app.command(epilog=examples("predict 3f9a holiday/ --output labels.csv", "predict student.safetensors a.jpg --top 3"))
def predict(
    run: Annotated[
        str,
        typer.Argument(
            help="Key of a run or its beginning, its folder, or an exported .safetensors.",
            autocompletion=completion.run_keys,
        ),
    ],
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV file instead of a table.")] = None,
    top: Annotated[int, typer.Option(metavar="N", help="How many classes of each image.")] = 1,
    runs: RunsFolder = Path("runs"),
    device: Device = None,
    network: StudentNetwork = "",
    max_value: Annotated[
        float | None,
        typer.Option(
            "--max-value",
            metavar="N",
            help="What is white in images of more than 8 bits, such as 4095. [dim]\\[default: as in the training][/]",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Predict the classes of images with a run's student. Ends with exit code 1 when an image cannot be read."""
    from okdbench.training import predict as predicting

    if not predicting.predict(run, images, output, top, runs, device or "auto", network, force, max_value):
        raise typer.Exit(1)
