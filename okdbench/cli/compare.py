"""``okdbench compare``: whether methods differ, from the records of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import BudgetFilter, DatasetFilter, ListFormat, RecordsSource, TrackFilter, examples
from okdbench.core.terminal import TableColumn, check_format, print_line, print_table, to_json

if TYPE_CHECKING:
    from okdbench.results.significance import Comparison, Ranking

app = typer.Typer()


@app.command(
    epilog=examples("compare augkd kd finetune --runs runs", "compare augkd 'augkd[use_anchor=false]' --dataset digits")
)
def compare(
    methods: Annotated[
        list[str],
        typer.Argument(help="Two methods or more, as the tables write them.", autocompletion=completion.methods),
    ],
    dataset: DatasetFilter = None,
    track: TrackFilter = None,
    budget: BudgetFilter = None,
    teacher: Annotated[str | None, typer.Option(metavar="NETWORK", help="Only this teacher.")] = None,
    student: Annotated[str | None, typer.Option(metavar="NETWORK", help="Only this student.")] = None,
    runs: RecordsSource = Path("runs"),
    form: ListFormat = "text",
) -> None:
    """Paired significance tests of the first method against the others, on the settings and seeds that both have."""
    check_format(form)
    from okdbench.results.comparison import compare_methods
    from okdbench.results.grouping import consult

    wanted = {"dataset": dataset, "track": track, "budget": budget, "teacher": teacher, "student": student}
    pairs, ranking = compare_methods(methods, consult(runs), wanted)
    if form == "json":
        print(to_json(_content(pairs, ranking)))
    else:
        _print(pairs, ranking)


def _content(pairs: Sequence[Comparison], ranking: Ranking | None) -> dict[str, object]:
    ranks = None
    if ranking is not None:
        tested = [{"a": a, "b": b, "p": p} for (a, b), p in ranking.pairs.items()]
        ranks = {**asdict(replace(ranking, pairs={})), "pairs": tested}
    return {"pairs": [{**asdict(pair), "sentence": pair.sentence} for pair in pairs], "ranking": ranks}


def _print(pairs: Sequence[Comparison], ranking: Ranking | None) -> None:
    columns = (
        TableColumn("a"),
        TableColumn("b"),
        TableColumn("blocks", align="right", drop=3),
        TableColumn("difference", "a - b", "right"),
        TableColumn("interval", "95 % interval", "right", drop=1),
        TableColumn("effect", align="right", drop=2),
        TableColumn("p", "Wilcoxon p" + (", Holm" if len(pairs) > 1 else ""), "right"),
    )
    print_table(columns, [_row(pair) for pair in pairs])
    for pair in pairs:
        print_line(f"{pair.a} and {pair.b}: {pair.sentence}")
    if ranking is not None:
        _print_ranking(ranking)


def _row(pair: Comparison) -> dict[str, object]:
    ends = "-" if pair.low is None or pair.high is None else f"{pair.low:+.2f} .. {pair.high:+.2f}"
    numbers = {"difference": f"{pair.difference:+.2f}", "effect": _number(pair.effect), "p": _number(pair.p, 4)}
    return {"a": pair.a, "b": pair.b, "blocks": pair.blocks, "interval": ends, **numbers}


def _print_ranking(ranking: Ranking) -> None:
    if ranking.p is None or ranking.critical is None:
        print(f"no ranking: only {ranking.blocks} blocks have a run of every method")
        return
    ranks = ", ".join(f"{name} {mean:.2f}" for name, mean in sorted(ranking.ranks.items(), key=lambda item: item[1]))
    print_line(f"mean ranks over {ranking.blocks} blocks: {ranks}")
    print(f"Friedman p {ranking.p:.4f}; ranks differ beyond {ranking.critical:.2f} (Nemenyi, 5 %)")
    for (one, other), p in ranking.pairs.items():
        print_line(f"{one} - {other}: Holm-adjusted p {p:.4f}")


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
