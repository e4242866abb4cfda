"""A grid of the real shape on stand-ins: 12 methods x 8 settings x 5 seeds at budget smoke, two at a time, unattended.

python tests/benchmarks/grid_of_480.py FOLDER

makes small copies of Office-31, Office-Home and VisDA-2017 below FOLDER (every class of every domain, 10 generated
pictures each), runs ``okdbench sweep`` over their default settings and watches it. It prints what a run costs beside
its training, the memory of the driver, and how long the leaderboard takes, and draws the driver's memory. When it is
interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import mean
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # this tree, wherever it is started from

import matplotlib.pyplot as plt  # noqa: E402
from support.dataset_trees import grow, official  # noqa: E402

from okdbench import registry  # noqa: E402
from okdbench.data.folder_dataset import FolderDataset  # noqa: E402
from okdbench.data.manifest import manifest_file  # noqa: E402
from okdbench.results.store import read_records  # noqa: E402

DATASETS = ("office31", "officehome", "visda")
METHODS = "augkd,dafl,dfad,dfkd,dfq,finetune,kd,ltr,mad,mosaickd,replay,zskt"
PICTURES = 10
LOOK_SECONDS = 2.0


class Look(NamedTuple):
    """The driver at one moment: seconds since its start, MiB in memory, runs that are over."""

    seconds: float
    mib: float
    ended: int


class Watched(NamedTuple):
    """A sweep that is over: its length, when the last teacher was there, and the looks at its driver."""

    seconds: float
    teacher_logits: float
    looks: list[Look]


def okdbench(*words: str) -> list[str]:
    return [sys.executable, "-m", "okdbench", *words]


def take_in(name: str, folder: Path, data_root: Path) -> None:
    """Register a small copy of a data set, unless there is one."""
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    domains = list(dataset.domains.values())
    if all(manifest_file(name, domain, data_root).exists() for domain in domains):
        return
    if not folder.exists():
        grow(folder, official({domain: dict.fromkeys(dataset.classes, PICTURES) for domain in domains}))
    words = okdbench("data", "add", name, str(folder), "--accept-differences", "--data-root", str(data_root))
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def sweep(words: list[str]) -> Watched:
    """Run the driver and look at it every few seconds."""
    began = time.monotonic()
    driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines: list[tuple[float, str]] = []
    reader = threading.Thread(target=_read, args=(driver, lines, began))
    reader.start()
    looks = []
    while driver.poll() is None:
        mib = _resident(driver.pid)
        if mib:
            ended = sum(line.startswith("[") for _, line in lines)
            looks.append(Look(time.monotonic() - began, mib, ended))
        time.sleep(LOOK_SECONDS)
    reader.join()
    seconds = time.monotonic() - began
    if driver.returncode:
        raise SystemExit("\n".join(line for _, line in lines[-20:]))
    teacher_logits = max((when for when, line in lines if line.startswith("teacher")), default=0.0)
    return Watched(seconds, teacher_logits, looks)


def _read(driver: subprocess.Popen[str], lines: list[tuple[float, str]], began: float) -> None:
    assert driver.stderr
    for line in driver.stderr:
        lines.append((time.monotonic() - began, line.rstrip()))
        print(line, end="", flush=True)


def _resident(pid: int) -> float:
    """MiB of a process in memory; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def draw(looks: list[Look], path: Path) -> None:
    """The driver's memory and the runs that are over, by minutes."""
    figure, memory = plt.subplots(figsize=(8, 3.5), layout="constrained")
    minutes = [look.seconds / 60 for look in looks]
    memory.plot(minutes, [look.mib for look in looks], color="#0072B2")
    memory.set(xlabel="minutes", ylabel="driver's memory (MiB)", ylim=(0, None), xlim=(0, None))
    runs = memory.twinx()
    runs.plot(minutes, [look.ended for look in looks], color="#999999", linestyle="--")
    runs.set(ylabel="runs that are over (dashed)", ylim=(0, None))
    figure.suptitle("A grid of smoke runs on two cores: the driver's memory")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def leaderboard_seconds(runs: Path) -> float:
    began = time.monotonic()
    subprocess.run(okdbench("leaderboard", "--runs", str(runs)), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def tell(watched: Watched, runs: Path, jobs: int) -> None:
    """Print the figures; seconds of training are those that the records count."""
    records = list(read_records(runs))
    failed = sum(record.status != "done" for record in records)
    training = mean(record.cost.seconds for record in records)
    ended = max(1, watched.looks[-1].ended)
    each = jobs * (watched.seconds - watched.teacher_logits) / ended
    settled = [look.mib for look in watched.looks if look.ended >= ended / 20] or [watched.looks[-1].mib]
    print(f"runs: {len(records)}, of which failed: {failed}")
    print(f"wall clock: {watched.seconds / 60:.1f} min, the teachers' part {watched.teacher_logits / 60:.1f} min")
    print(f"a run: {each:.1f} s of a place, training {training:.1f} s, overhead {each - training:.1f} s")
    print(f"driver's memory: {settled[0]:.0f} MiB early, {settled[-1]:.0f} at the end, {max(settled):.0f} at most")
    print(f"leaderboard: {leaderboard_seconds(runs):.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--engine", default="local", help="local, or ray for a cluster that was started before")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "plots" / "grid-of-480.png")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONPATH"] = str(ROOT)
    data_root, runs = chosen.folder.absolute() / "data", chosen.folder.absolute() / "runs"
    for name in chosen.datasets.split(","):
        take_in(name, chosen.folder.absolute() / "copies" / name, data_root)
    words = okdbench(
        "sweep", "--methods", chosen.methods, "--datasets", chosen.datasets, "--seeds", chosen.seeds,
        "--budget", "smoke", "--teacher", "test_resnet", "--student", "test_resnet", "--device", "cpu",
        "--engine", chosen.engine, "--jobs", str(chosen.jobs), "--runs", str(runs), "--data-root", str(data_root),
    )  # fmt: skip
    watched = sweep(words)
    draw(watched.looks, chosen.plot)
    tell(watched, runs, chosen.jobs)


if __name__ == "__main__":
    main()
