"""Records made by hand, and the rows of a leaderboard from them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.frames import to_frame
from okdbench.results.leaderboard import leaderboard
from okdbench.results.records import Cost, Evaluation, Outcome, Record, Score, TeacherScore, Traffic
from okdbench.results.store import write_record
from okdbench.results.table import rows_of


def evaluation(acc: float) -> Evaluation:
    score = Score(acc=acc, top3=acc + 1, top5=acc + 2, macro_f1=acc - 1, ece=5.0, agreement=50.0)
    return Evaluation(stage="anchor", step=1, images=64, val_acc=acc, test=score)


def record(method: str, setting: str, seed: int, acc: float, **changes: Any) -> Record:
    outcome = Outcome(evaluation=evaluation(acc), retention=30.0)
    values: dict[str, Any] = {
        "key": f"{method}{setting}{seed}",
        "status": "done",
        "method": method,
        "variant": "",
        "role": "baseline" if method == "finetune" else "method",
        "dataset": "digits",
        "setting": setting,
        "track": "labelled",
        "budget": "quick",
        "seed": seed,
        "teacher": "resnet18",
        "student": "resnet10t",
        "config": {"image_size": 32, "pretrained": False},
        "command": f"okdbench run --method {method} --dataset digits --setting {setting} --seed {seed} --budget quick",
        "version": "0.1.0",
        "commit": "abc",
        "protocol": PROTOCOL_VERSION,
        "data_digest": "d",
        "test_images": 400,
        "classes": 10,
        "environment": {"torch": "2.9", "device": "cpu"},
        "teacher_score": TeacherScore(key="t", own_acc=90.0, test_acc=40.0),
        "selected": outcome,
        "last": Outcome(evaluation=evaluation(acc - 2), retention=30.0),
        "oracle": evaluation(acc + 3),
        "cost": Cost(
            traffic={
                "student": Traffic(learned=100, updates=5),
                "teacher": Traffic(forward=200, updates=0),
                "generator": Traffic(updates=7),
            },
            seconds=10,
            peak_memory_mb=500,
        ),
    }
    return Record(**values | changes)


def failed(method: str, setting: str, seed: int, **changes: Any) -> Record:
    return record(method, setting, seed, 0, status="failed", selected=None, last=None, oracle=None, **changes)


def own(row: SimpleNamespace) -> dict[str, object]:
    """What a row says of itself: all but its place among the others."""
    place = {"rank", "best", "tied", "behind", "behind_low", "behind_high"}
    return {name: value for name, value in vars(row).items() if name not in place}


def put(runs: Path, made: Record, hour: int) -> Path:
    """Store a record that finished at this hour, with the other files of a run; returns the run's folder."""
    folder = runs / made.key
    write_record(folder, made.model_copy(update={"environment": {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}}))
    (folder / "student.safetensors").write_bytes(bytes(1000))
    (folder / "metrics.jsonl").write_bytes(bytes(10))
    return folder


def table(records: Iterable[Record]) -> pd.DataFrame:
    """The leaderboard of these records."""
    return leaderboard(to_frame(records))


def rows(*records: Record) -> dict[tuple[str, str], SimpleNamespace]:
    """(method, setting) -> its row in the leaderboard, with columns as attributes; None where a value is missing."""
    return {(row["method"], row["setting"]): SimpleNamespace(**row) for row in rows_of(table(records))}


GRID = [
    record("kd", "A-C", 0, 60),
    record("kd", "A-C", 1, 64),
    record("kd", "B-C", 0, 80),
    record("kd", "B-C", 1, 82),
    record("finetune", "A-C", 0, 50),
    record("finetune", "A-C", 1, 60),
    record("finetune", "B-C", 0, 81),
    record("finetune", "B-C", 1, 83),
]
