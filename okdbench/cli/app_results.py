"""The commands that read finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.options import Budget, DataRoot, Device, Runs, Student, Teacher, interruptible

app = typer.Typer()
Source = Annotated[Path, typer.Option("--runs", help="Folder of runs, or an archive of records.")]


@app.command(epilog="Example: okdbench leaderboard --runs runs --output leaderboards")
def leaderboard(
    runs: Source = Path("runs"),
    output: Annotated[Path | None, typer.Option(help="Folder for one file per data set.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="text, csv, md, tex or json; files: csv.")] = None,
    records: Annotated[bool, typer.Option("--records", help="Also keep the records, in OUTPUT/records.")] = False,
) -> None:
    """Make the leaderboards of finished runs: print them, and write files when --output is given."""
    from okdbench.cli import list as listing

    listing.leaderboard(runs, output, form, records)


@app.command(epilog="Example: okdbench compare augkd kd finetune --runs runs")
def compare(
    methods: Annotated[list[str], typer.Argument(help="Two methods or more, as the tables write them.")],
    dataset: Annotated[str | None, typer.Option(help="Only this data set; default: all.")] = None,
    track: Annotated[str | None, typer.Option(help="labelled or label-free.")] = None,
    budget: Budget = None,
    teacher: Teacher = None,
    student: Student = None,
    runs: Source = Path("runs"),
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Paired significance test of the first method against the others, on the settings and seeds that they share."""
    from okdbench.cli import compare as comparing

    wanted = {"dataset": dataset, "track": track, "budget": budget, "teacher": teacher, "student": student}
    comparing.show(methods, runs, wanted, form)


@app.command(epilog="Example: okdbench report --runs runs --output site")
def report(
    runs: Source = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder for the page, index.html.")] = Path("site"),
) -> None:
    """Make one page of everything: leaderboard, plots, published numbers, every run. It opens without a network."""
    from okdbench.results.report import write_report

    print(write_report(runs, output))


@app.command(epilog="Example: okdbench export 3f9a --format onnx --output student.onnx")
def export(
    run: Annotated[str, typer.Argument(help="Key of a run or its beginning, or a run's folder.")],
    form: Annotated[str, typer.Option("--format", help="safetensors, onnx or torchscript.")] = "safetensors",
    output: Annotated[Path | None, typer.Option(help="The file; default: student-KEY in this folder.")] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Write a run's student as one file, with its classes and its origin, and check that it answers alike."""
    from okdbench.training import export as exporting

    exporting.export(run, form, output, runs)


@app.command(epilog="Example: okdbench predict 3f9a holiday/ --output labels.csv")
def predict(
    run: Annotated[str, typer.Argument(help="Key of a run or its beginning, its folder, or an exported .safetensors.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures, and folders of them.")],
    output: Annotated[Path | None, typer.Option(help="CSV file instead of a table.")] = None,
    top: Annotated[int, typer.Option(help="How many classes of each picture.")] = 1,
    runs: Runs = Path("runs"),
    device: Device = None,
) -> None:
    """Name the classes of pictures with a run's student; ends with 1 when a picture cannot be read."""
    from okdbench.training import predict as predicting

    if not predicting.predict(run, images, output, top, runs, device or "auto"):
        raise typer.Exit(1)


@app.command(epilog="Example: okdbench verify leaderboards/digits.csv:2")
def verify(
    row: Annotated[str, typer.Argument(help="File and line; line 1 is the header.")],
    runs: Annotated[Path | None, typer.Option(help="Keep the new runs here; done ones are not repeated.")] = None,
    records: Annotated[Path | None, typer.Option(help="Archive of the old runs; default: beside the file.")] = None,
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Run a row of a leaderboard again: identical, or how far off and since when; ends with 1 when it differs."""
    from okdbench.cli import verify as verifying

    with interruptible("with --runs, the same command goes on from where it stopped"):
        same = verifying.verify(row, runs, records, data_root, device)
    if not same:
        raise typer.Exit(1)


@app.command(epilog="Example: okdbench plot bars --runs runs --output plots --format png,pdf")
def plot(
    kind: Annotated[
        str, typer.Argument(help="bars, curves, pareto, cd, retention, stages, samples or gap; all for each of them.")
    ],
    runs: Source = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("plots"),
    formats: Annotated[str, typer.Option("--format", help="png, svg and pdf, with commas between.")] = "png",
    dataset: Annotated[str | None, typer.Option(help="Only this data set; default: all.")] = None,
    track: Annotated[str | None, typer.Option(help="labelled or label-free; default: both.")] = None,
    budget: Budget = None,
    setting: Annotated[list[str] | None, typer.Option(help="Only this setting; may be given several times.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only this method; may be given several times.")] = None,
) -> None:
    """Draw the records, a picture for each data set, track, budget and pair of networks."""
    from okdbench.cli import plot as drawings

    wanted = {"dataset": dataset, "track": track, "budget": budget}
    drawings.make(kind, runs, output, formats, wanted, setting or [], method or [])
