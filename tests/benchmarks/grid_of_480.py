"""A grid of realistic size on generated data: 12 methods x 8 settings x 5 seeds at budget smoke, two runs at a time.

python tests/benchmarks/grid_of_480.py FOLDER

makes small copies of Office-31, Office-Home and VisDA-2017 below FOLDER (every class of every domain, 10 generated
images each), runs ``okdbench sweep`` over their default settings and samples the memory of its driver. It prints the
overhead of a run beside its training, the driver's memory and the time of the leaderboard, and plots the memory. An
interrupted grid resumes when the command is rerun.
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
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # so that this source tree is measured, whatever is installed

import matplotlib.pyplot as plt  # noqa: E402
from support.dataset_trees import grow, official  # noqa: E402

from okdbench import registry  # noqa: E402
from okdbench.data.folder_dataset import FolderDataset  # noqa: E402
from okdbench.data.manifest import manifest_file  # noqa: E402
from okdbench.results.store import read_records  # noqa: E402

DATASETS = ("office31", "officehome", "visda")
METHODS = "augkd,dafl,dfad,dfkd,dfq,finetune,kd,ltr,mad,mosaickd,replay,zskt"
IMAGES_PER_CLASS = 10
SAMPLE_SECONDS = 2.0


class MemorySample(NamedTuple):
    """The driver at one moment: seconds since its start, MiB in memory, number of runs that have ended."""

    seconds: float
    mib: float
    ended: int


class Measurement(NamedTuple):
    """A finished sweep: its duration, when its last teacher was trained, and samples of its driver's memory."""

    seconds: float
    teachers_done: float
    samples: list[MemorySample]


def okdbench(*words: str) -> list[str]:
    return [sys.executable, "-m", "okdbench", *words]


def register(name: str, folder: Path, data_root: Path) -> None:
    """Make and register a small copy of a data set, unless one is registered."""
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    domains = list(dataset.domains.values())
    if all(manifest_file(name, domain, data_root).exists() for domain in domains):
        return
    if not folder.exists():
        grow(folder, official({domain: dict.fromkeys(dataset.classes, IMAGES_PER_CLASS) for domain in domains}))
    words = okdbench("data", "add", name, str(folder), "--accept-differences", "--data-root", str(data_root))
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def sweep(words: list[str]) -> Measurement:
    """Run the driver and sample its memory every few seconds."""
    began = time.monotonic()
    driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines: list[tuple[float, str]] = []
    reader = threading.Thread(target=_read, args=(driver, lines, began))
    reader.start()
    samples = []
    while driver.poll() is None:
        mib = _resident(driver.pid)
        if mib:
            ended = sum(line.startswith("[") for _, line in lines)
            samples.append(MemorySample(time.monotonic() - began, mib, ended))
        time.sleep(SAMPLE_SECONDS)
    reader.join()
    seconds = time.monotonic() - began
    if driver.returncode:
        raise SystemExit("\n".join(line for _, line in lines[-20:]))
    teachers_done = max((when for when, line in lines if line.startswith("teacher")), default=0.0)
    return Measurement(seconds, teachers_done, samples)


def _read(driver: subprocess.Popen[str], lines: list[tuple[float, str]], began: float) -> None:
    assert driver.stderr
    for line in driver.stderr:
        lines.append((time.monotonic() - began, line.rstrip()))
        print(line, end="", flush=True)


def _resident(pid: int) -> float:
    """Resident memory of a process in MiB; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def plot(samples: list[MemorySample], path: Path) -> None:
    """Plot the driver's memory and the number of ended runs over time."""
    figure, memory = plt.subplots(figsize=(8, 3.5), layout="constrained")
    minutes = [sample.seconds / 60 for sample in samples]
    memory.plot(minutes, [sample.mib for sample in samples], color="#0072B2")
    memory.set(xlabel="minutes", ylabel="driver's memory (MiB)", ylim=(0, None), xlim=(0, None))
    runs = memory.twinx()
    runs.plot(minutes, [sample.ended for sample in samples], color="#999999", linestyle="--")
    runs.set(ylabel="ended runs (dashed)", ylim=(0, None))
    figure.suptitle("A grid of smoke runs on two cores: the driver's memory")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def leaderboard_seconds(runs: Path) -> float:
    """Seconds that ``okdbench leaderboard`` takes for all records."""
    began = time.monotonic()
    subprocess.run(okdbench("leaderboard", "--runs", str(runs)), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def report(measured: Measurement, runs: Path, jobs: int) -> None:
    """Print the results; seconds of training are those in the records."""
    records = list(read_records(runs))
    failed = sum(record.status != "done" for record in records)
    training = mean(record.cost.seconds for record in records)
    ended = max(1, measured.samples[-1].ended)
    each = jobs * (measured.seconds - measured.teachers_done) / ended
    # from 5 % of the runs on, when the driver has loaded all that it needs
    settled = [sample.mib for sample in measured.samples if sample.ended >= ended / 20] or [measured.samples[-1].mib]
    print(f"runs: {len(records)}, of which failed: {failed}")
    print(f"wall clock: {measured.seconds / 60:.1f} min, of which teachers {measured.teachers_done / 60:.1f} min")
    print(f"a run: {each:.1f} s of one job, training {training:.1f} s, overhead {each - training:.1f} s")
    print(f"driver's memory: {settled[0]:.0f} MiB early, {settled[-1]:.0f} at the end, {max(settled):.0f} at most")
    print(f"leaderboard: {leaderboard_seconds(runs):.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--engine", default="local", help="local, or ray for a running cluster")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "plots" / "grid-of-480.png")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONPATH"] = str(ROOT)
    data_root, runs = chosen.folder.absolute() / "data", chosen.folder.absolute() / "runs"
    for name in chosen.datasets.split(","):
        register(name, chosen.folder.absolute() / "copies" / name, data_root)
    words = okdbench(
        "sweep", "--methods", chosen.methods, "--datasets", chosen.datasets, "--seeds", chosen.seeds,
        "--budget", "smoke", "--teacher", "test_resnet", "--student", "test_resnet", "--device", "cpu",
        "--engine", chosen.engine, "--jobs", str(chosen.jobs), "--runs", str(runs), "--data-root", str(data_root),
    )  # fmt: skip
    measured = sweep(words)
    plot(measured.samples, chosen.plot)
    report(measured, runs, chosen.jobs)


if __name__ == "__main__":
    main()
