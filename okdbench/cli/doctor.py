"""``okdbench doctor``: what the machine is, and whether it can run okdbench."""

from __future__ import annotations

from pathlib import Path

import typer

from okdbench.cli.options import DataRoot, ListFormat, RunsFolder, examples
from okdbench.core.files import default_data_root
from okdbench.core.terminal import TableColumn, check_format, print_table, to_json

app = typer.Typer()

MACHINE = (TableColumn("name"), TableColumn("value"))
CHECKS = (TableColumn("result"), TableColumn("check"), TableColumn("problem", folds=True))


@app.command(epilog=examples("doctor", "doctor --format json"))
def doctor(runs: RunsFolder = Path("runs"), data_root: DataRoot = None, form: ListFormat = "text") -> None:
    """Check the machine: libraries, device, threads, disk and folders. Ends with exit code 1 if a check fails."""
    check_format(form)
    # Loads torch, and fails here where its installation is broken.
    from okdbench.core.diagnostics import describe_machine, diagnose

    machine = describe_machine()
    checks = [
        {"result": "bad" if found.problem else "ok", "check": found.check, "problem": found.problem}
        for found in diagnose(runs, data_root or default_data_root())
    ]
    if form == "json":
        print(to_json({"machine": machine, "checks": checks}))
    else:
        print_table(MACHINE, [{"name": name, "value": value} for name, value in machine.items()])
        print()
        print_table(CHECKS, checks)
    if any(check["result"] == "bad" for check in checks):
        raise typer.Exit(1)
