"""``okdbench runs``: the runs on the disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import DEFAULT_RUNS, ListFormat, RecordsSources, RunsFolder, examples
from okdbench.core.errors import UserError
from okdbench.core.terminal import TableColumn, check_format, print_line, print_rows, to_json
from okdbench.core.units import in_bytes, spell_bytes

if TYPE_CHECKING:
    from okdbench.results.records import Record

app = typer.Typer(no_args_is_help=True, help="List, show and prune the runs on the disk.")

COLUMNS = (
    TableColumn("key"),
    TableColumn("method"),
    TableColumn("dataset", drop=3),
    TableColumn("setting", drop=2),
    TableColumn("task", drop=7),
    TableColumn("track", drop=6),
    TableColumn("budget", drop=5),
    TableColumn("seed", align="right", drop=4),
    TableColumn("status"),
    TableColumn("acc", "acc %", "right", drop=1, text=lambda acc: f"{acc:.2f}"),
    TableColumn("bytes", "size", "right", drop=7, text=spell_bytes),
)
#: what a reader asks for first, at the top of a record
FIRST = ("method", "variant", "dataset", "setting", "task", "track", "budget", "seed", "status", "error", "command")
#: what is left to the record's own file
LONG = {"curves", "evaluations", "traceback", "method_text"}


@app.command("ls", epilog=examples("runs ls", "runs ls --runs demo/runs --format json"))
def list_runs(runs: RecordsSources = DEFAULT_RUNS, form: ListFormat = "text") -> None:
    """List the runs, the oldest first, with what each takes on the disk; a run of an archive has no files."""
    check_format(form)
    for source in runs:
        _refuse_missing(source)
    from okdbench.results import cleanup
    from okdbench.results.sources import run_folders
    from okdbench.results.store import read_all

    records = sorted(read_all(runs, none_is_fine=True), key=lambda record: (record.finished, record.key))
    folders = run_folders(runs)
    print_rows(COLUMNS, [_row(record, folders.get(record.key)) for record in records], form)
    # JSON must stay one document, so this line is for people alone.
    if form == "text":
        disk = [cleanup.size(source) for source in runs if source.is_dir()]
        begun = {path.parent.name for source in runs if source.is_dir() for path in source.glob("*/config.yaml")}
        if unfinished := sorted(begun - folders.keys()):
            print(f"unfinished, and not in the list: {', '.join(unfinished)}; the same command resumes a run")
        print(f"{len(records)} runs" + (f", {spell_bytes(sum(disk))} with the teachers" if disk else ""))


@app.command("show", epilog=examples("runs show 3f2a", "runs show 3f2a --format json"))
def show_run(
    key: Annotated[
        str,
        typer.Argument(help="Key of a run or its beginning, or a run's folder.", autocompletion=completion.run_keys),
    ],
    runs: RecordsSources = DEFAULT_RUNS,
    form: ListFormat = "text",
) -> None:
    """Show what a run was, its result, its cost, and the command that repeats it."""
    check_format(form)
    import yaml

    from okdbench.results import cleanup
    from okdbench.results.store import find_among

    folder, record = find_among(key, runs)
    content = _summary(record)
    if form == "json":
        print(to_json({**content, "folder": folder, "bytes": folder and cleanup.size(folder)}))
        return
    # Unsorted, because the summary has what a reader asks for first at its top.
    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")
    if folder:
        print_line(f"folder: {folder} ({spell_bytes(cleanup.size(folder))})")


@app.command("source", epilog=examples("runs source 3f2a", "runs source 3f2a --runs all.jsonl.gz --output theirs"))
def show_source(
    key: Annotated[str, typer.Argument(help="Key of a run or its beginning.", autocompletion=completion.run_keys)],
    runs: RecordsSources = DEFAULT_RUNS,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the file here instead, for a rerun.", show_default=False),
    ] = None,
) -> None:
    """Print the file of a run's local method, or write it into a folder. It is not executed: read it first."""
    from okdbench.results import method_files
    from okdbench.results.store import find_among

    _, record = find_among(key, runs)
    if output is None:
        for line in method_files.text_of(record).splitlines():
            print_line(line)
        return
    print(method_files.write(record, output))
    print_line(f"once you have read it: {method_files.command_for(record, output)}")


@app.command("prune", epilog=examples("runs prune", "runs prune --max-gb 5 --dry-run"))
def prune(
    max_gb: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            help="Delete samples, then students, until --runs holds no more than this. "
            "[dim]\\[default: only leftovers of finished runs][/]",
            show_default=False,
            min=0,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be deleted; delete nothing.")] = False,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Delete what finished runs can do without; records always stay."""
    # Checked first: nothing is deleted for a size that makes no sense.
    most = None if max_gb is None else in_bytes(max_gb)
    _refuse_missing(runs)
    from okdbench.core.files import writing
    from okdbench.results import cleanup

    freed = 0
    with interruptible(), writing(runs):
        for file, size in cleanup.prune(runs, most, dry_run):
            print_line(f"{spell_bytes(size)}  {file}")
            freed += size
    # A dry run has deleted nothing, so what it would free is still part of the folder's size.
    left = cleanup.size(runs) - (freed if dry_run else 0)
    print(f"{'would free' if dry_run else 'freed'} {spell_bytes(freed)}; {spell_bytes(left)} are left")
    # No error, because what remains may not be deleted.
    if most is not None and left > most:
        print(f"more than --max-gb {max_gb:g}: records, logs, teachers and unfinished runs stay", file=sys.stderr)


def _refuse_missing(runs: Path) -> None:
    """Raise a UserError unless there is such a folder or archive."""
    if not runs.exists():
        raise UserError(f"there is no folder {runs}; name another with --runs")


def _row(record: Record, folder: Path | None) -> dict[str, Any]:
    from okdbench.results import cleanup
    from okdbench.results.grouping import label

    named = {
        name: getattr(record, name)
        for name in ("key", "dataset", "setting", "task", "track", "budget", "seed", "status")
    }
    # A failed run has no selected evaluation.
    acc = record.selected.evaluation.test.acc if record.selected else None
    return {**named, "method": label(record), "acc": acc, "bytes": folder and cleanup.size(folder), "folder": folder}


def _summary(record: Record) -> dict[str, Any]:
    """What a reader asks for first, then the rest."""
    content = record.model_dump(mode="json", exclude=LONG, exclude_none=True)
    return {name: content.pop(name) for name in FIRST if name in content} | content
