"""A grid as an array job for Slurm: each task is one ``okdbench run`` line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

_SCRIPT = """#!/bin/bash
#SBATCH --job-name=okdbench
#SBATCH --array=0-{last}
# Each task is one line; add what your cluster wants, such as --gres=gpu:1. The folders must be on shared storage.
cd {folder} || exit 1
sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" <<'RUNS' | bash -euo pipefail
{lines}
RUNS
"""


def array_script(commands: Sequence[Sequence[str]]) -> str:
    """The script whose tasks are ``okdbench`` with each of these lists of words, started in this folder.

    Runs that share a teacher wait for the one that trains it, so the tasks may start in any order.
    """
    lines = "\n".join(shlex.join(["okdbench", *words]) for words in commands)
    return _SCRIPT.format(last=len(commands) - 1, folder=shlex.quote(os.getcwd()), lines=lines)
