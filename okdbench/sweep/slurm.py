"""A grid as an array job for Slurm: each task is one ``okdbench run`` command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

# A heredoc with a quoted delimiter keeps every command verbatim, whatever characters it contains.
_SCRIPT = """#!/bin/bash
#SBATCH --job-name=okdbench
#SBATCH --array=0-{last}
# Each task is one line; add what your cluster needs, such as --gres=gpu:1. The folders must be on shared storage.
cd {folder} || exit 1
sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" <<'RUNS' | bash -euo pipefail
{lines}
RUNS
"""


def array_script(commands: Sequence[Sequence[str]]) -> str:
    """The text of an array job with one task per command, to be started in the current folder.

    Tasks may start in any order: of several runs with the same teacher, one trains it and the others wait for its lock.

    Args:
        commands: the arguments of each command after ``okdbench``.
    """
    lines = "\n".join(shlex.join(["okdbench", *arguments]) for arguments in commands)
    return _SCRIPT.format(last=len(commands) - 1, folder=shlex.quote(os.getcwd()), lines=lines)
