"""A command line that checkpoints after every step, and the comparison of a resumed run with an undisturbed one."""

from __future__ import annotations

from pathlib import Path

from okdbench.results.store import read_record

#: for ``python -c``: the command line with a checkpoint after every step instead of every 20 seconds
DRIVER = "import okdbench.training.runner as r; r.CHECKPOINT_SECONDS = 0.0; from okdbench.cli.app import main; main()"


def assert_same(folder: Path, reference: Path) -> None:
    """Two folders of one run: equal records but for times and machine, equal bytes of all other files, no leftovers."""
    ours, theirs = read_record(folder), read_record(reference)
    assert ours is not None
    assert theirs is not None
    assert ours.comparable() == theirs.comparable()
    for name in ("student.safetensors", "metrics.jsonl", "samples.npz"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    assert not (folder / "checkpoint.pt").exists()
    assert not list(folder.glob("*.tmp"))
