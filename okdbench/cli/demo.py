"""``okdbench demo``: what a teacher is good for, in four minutes: with two labels per class, and without any image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import DataRoot, examples

if TYPE_CHECKING:
    from okdbench.results.records import Record

app = typer.Typer()

#: what is run: handwritten digits of MNIST are the teacher's, printed ones are the student's
FEW_LABELS: Mapping[str, Any] = {"method": ["teacher,finetune,kd,augkd"], "setting": ["M-P"], "shots": 2}
NO_IMAGES: Mapping[str, Any] = {"method": ["teacher,mad"], "setting": ["M"]}


@app.command(epilog=examples("demo", "demo --output first"))
def demo(
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for runs, tables, figures and the page.")
    ] = Path("demo"),
    data_root: DataRoot = None,
) -> None:
    """Compare methods on digits with two labels per class and without images, and say what came out."""
    from okdbench.sweep.grid import parse_grid

    grids = [parse_grid({"dataset": ["digits"], **values}) for values in (FEW_LABELS, NO_IMAGES)]
    with interruptible():
        from okdbench.results import plots
        from okdbench.results.rendering import conclude
        from okdbench.results.report import write_report
        from okdbench.sweep.sequential import run_grid

        runs = output / "runs"
        few, none = ({each.method: each for each in run_grid(grid, runs, data_root)} for grid in grids)
        if not conclude([*few.values(), *none.values()]):
            raise typer.Exit(1)
        print(f"\n{story(few, none)}\n")
        for figure in plots.draw("bars", [*few.values(), *none.values()], [runs]):
            print("figure:", *plots.save(figure, output, ["png"]))
        print("page:", write_report([runs], output))


def story(few: Mapping[str, Record], none: Mapping[str, Record]) -> str:
    """Two sentences about the runs.

    Args:
        few: method -> its run with few labels: teacher, finetune, kd and augkd.
        none: the same without images: teacher and mad.
    """
    shots = few["augkd"].shots
    ways = {"labels alone": "finetune", "distillation on these images": "kd", "AuG-KD": "augkd"}
    scores = ", ".join(f"{way} {_acc(few[method])}" for way, method in ways.items())
    return (
        f"With {shots} labels per class, a student of printed digits reaches: {scores}; its teacher of handwritten "
        f"digits {_acc(few['teacher'])}.\n"
        f"Without any image, a student of that teacher's own digits reaches {_acc(none['mad'])}; the teacher "
        f"{_acc(none['teacher'])}. These are single runs; a ranking needs five seeds."
    )


def _acc(record: Record) -> str:
    assert record.selected is not None, "its run is finished"
    return f"{record.selected.evaluation.test.acc:.1f} %"
