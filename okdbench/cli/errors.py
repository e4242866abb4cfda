"""``okdbench errors``: which images a student gets wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import DataRoot, ListFormat, RunsFolder, examples
from okdbench.core.errors import UserError
from okdbench.core.notices import say
from okdbench.core.terminal import TableColumn, check_format, fits, print_line, print_table, to_json

if TYPE_CHECKING:
    from okdbench.results.predictions import Predictions
    from okdbench.results.records import Record

app = typer.Typer()

CLASSES = (
    TableColumn("class"),
    TableColumn("images", align="right", drop=2),
    TableColumn("correct", align="right", drop=3),
    TableColumn("acc", "acc %", "right", text=lambda acc: f"{acc:.2f}"),
    TableColumn("taken_for", "taken for"),
    TableColumn("times", align="right", drop=1),
)
PAIRS = (
    TableColumn("truth"),
    TableColumn("answer"),
    TableColumn("images", align="right"),
    TableColumn("share", "% of the class", "right", drop=1, text=lambda share: f"{share:.2f}"),
)
ERRORS = (
    TableColumn("image"),
    TableColumn("truth"),
    TableColumn("answer"),
    TableColumn("confidence", align="right", drop=1, text=lambda sure: f"{sure:.3f}"),
)
#: pairs of classes that are printed instead of a matrix that is too large
MOST_PAIRS = 12


@app.command(
    epilog=examples("errors 3f9a", "errors 3f9a --folder wrong --limit 5", "errors 3f9a --format json > errors.json")
)
def errors(
    run: Annotated[
        str,
        typer.Argument(help="Key of a run or its beginning, or a run's folder.", autocompletion=completion.run_keys),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write tables and figure here, and copies of the wrong images.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Print this many wrong images.", min=0)] = 20,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="The run's data set, where it is a file of yours.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    runs: RunsFolder = Path("runs"),
    data_root: DataRoot = None,
    form: ListFormat = "text",
) -> None:
    """Show which test images a run's student gets wrong, its accuracy per class, and which classes it confuses."""
    check_format(form)
    from okdbench.core.files import writing
    from okdbench.results.store import find_record

    if runs.is_file():
        raise UserError(f"{runs} is an archive of records, which has no predictions; name a folder of runs with --runs")
    place, record = find_record(run, runs)
    predictions = _predictions(place, record)
    content = _content(place, record, predictions)
    if form == "json":
        print(to_json(content))
    else:
        _print(record, content, limit)
    if folder:
        with interruptible(), writing(folder, "--folder"):
            for line in _write(folder, record, predictions, dataset, data_root):
                # JSON must stay one document, so these lines are for people alone.
                if form == "text":
                    print_line(line)


def _predictions(place: Path, record: Record) -> Predictions:
    """The predictions beside a record.

    Raises:
        UserError: there are none; the message says why, and how to make them.
    """
    from okdbench.results.predictions import FILE, read_predictions

    if record.status == "failed":
        raise UserError(f"run {record.key} failed and has no predictions; repeat it: {record.command}")
    if not (place / FILE).is_file():
        raise UserError(
            f"run {record.key} has no {FILE}, which older versions did not write; run it again: "
            f"{record.command} --runs ANOTHER_FOLDER"
        )
    return read_predictions(place)


def _content(place: Path, record: Record, predictions: Predictions) -> dict[str, Any]:
    """All that is known of the errors, as in JSON."""
    from okdbench.results.confusion import class_names, class_rows, confused_pairs, confusion_matrix, wrong_images

    names, counts = class_names(predictions), confusion_matrix(predictions)
    return {
        **record.model_dump(include={"key", "method", "variant", "dataset", "setting", "track", "budget", "seed"}),
        "folder": str(place),
        "images": int(counts.sum()),
        "wrong": int(counts.sum() - counts.trace()),
        "acc": float(100 * counts.trace() / counts.sum()),
        "class_names": names,
        "classes": class_rows(names, counts),
        "confusion": counts.tolist(),
        "pairs": confused_pairs(names, counts),
        "errors": wrong_images(predictions),
    }


def _print(record: Record, content: dict[str, Any], limit: int) -> None:
    print_line(f"{record.title}: {content['acc']:.2f} % right, {content['wrong']} of {content['images']} images wrong")
    print()
    print_table(CLASSES, content["classes"], "Accuracy per class")
    if not content["wrong"]:
        return
    print()
    _print_confusion(content)
    shown = content["errors"][:limit]
    if shown:
        print()
        print_table(ERRORS, shown, "Wrong images, the most confident first")
    if len(shown) < content["wrong"]:
        print(f"{len(shown)} of {content['wrong']} are shown; --limit {content['wrong']} shows all")


def _print_confusion(content: dict[str, Any]) -> None:
    """Print the matrix where it is small and fits, else the pairs of classes that are confused most."""
    from okdbench.results.confusion import MOST_CLASSES

    names = content["class_names"]
    # Keys are indices, because two classes may have one name.
    columns = [
        TableColumn("truth"),
        *(TableColumn(str(i), name, "right", text=lambda count: str(count or ".")) for i, name in enumerate(names)),
    ]
    rows = [
        {"truth": name, **{str(i): count for i, count in enumerate(counts)}}
        for name, counts in zip(names, content["confusion"], strict=True)
    ]
    if len(names) <= MOST_CLASSES and fits(columns, rows):
        print_table(columns, rows, "Confusion matrix: the truth in rows, the answers in columns")
    else:
        print_table(PAIRS, content["pairs"][:MOST_PAIRS], "Classes that are confused most")


def _write(
    folder: Path, record: Record, predictions: Predictions, dataset: str | None, data_root: Path | None
) -> Iterator[str]:
    """Write tables and figure, then copies of the images if the data set is there; yields what was written.

    Args:
        folder: where to.
        record: of the run.
        predictions: of the run.
        dataset: name or path of the data set, where the user gives it.
        data_root: the data folder.
    """
    from okdbench.core.files import default_data_root
    from okdbench.results.error_files import write_errors
    from okdbench.training.wrong_images import copy_images, dataset_of, is_changed

    yield from map(str, write_errors(folder, record, predictions))
    images = folder / "images"
    try:
        found, root = dataset_of(record, dataset), data_root or default_data_root()
        count = copy_images(images, record, predictions, found, root)
        if is_changed(record, found, root):
            say("warning: the images have changed since the run; the copies are of today")
        yield f"{images}: {count} images"
    except UserError as error:
        # Whose records these are may have no images: the rest is written all the same.
        say(f"images are not copied to {images}: {error}")
