"""Leaderboards as CSV files: what a line says, and other words in it."""

from __future__ import annotations

import csv
from pathlib import Path

from okdbench.results.columns import shown_in

#: the first line of every file: a contract, so it is written out
HEADER = (
    "dataset,rank,method,setting,role,task,track,shots,budget,teacher,student,protocol,seeds,complete,acc,"
    "acc_low,acc_high,tied,best,behind,behind_low,behind_high,worst,collapsed,val_acc,top3,top5,macro_f1,ece,"
    "teacher_acc,retention,gain,last_acc,oracle_acc,selection_gap,student_images,teacher_queries,"
    "generator_steps,passes,test_images,seconds,peak_memory_mb,tuned,torch,device,version,commit,command"
)


def rewrite(board: Path, line: int, **columns: str) -> None:
    """Replace texts in a line of a leaderboard; line 1 is the header."""
    rows = list(csv.DictReader(board.read_text().splitlines()))
    rows[line - 2] |= columns
    with board.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in shown_in("csv")])
        writer.writeheader()
        writer.writerows(rows)


def command(board: Path, line: int) -> str:
    """The command in a line of a leaderboard."""
    return list(csv.DictReader(board.read_text().splitlines()))[line - 2]["command"]
