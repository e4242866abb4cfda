"""``okdbench`` on a terminal of some width, and in a pipe: what a person sees, and what a program reads."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def command(line: list[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "okdbench", *line]


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would tell rich the width or that there is a terminal."""
    ours = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "FORCE_COLOR")}
    return {**ours, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def on_terminal(line: list[str], width: int, folder: Path, **more: str) -> str:
    """What ``okdbench <line>`` prints on a terminal of this width, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        command(line), cwd=folder, env=environment(**more), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    content = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not block:
            break
        content += block
    os.close(ours)
    assert process.wait() == 0, content.decode()
    return _ESCAPES.sub("", content.decode()).replace("\r\n", "\n")


def in_pipe(line: list[str], folder: Path, **more: str) -> str:
    """What ``okdbench <line>`` writes into a pipe."""
    result = subprocess.run(
        command(line), cwd=folder, env=environment(**more), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
