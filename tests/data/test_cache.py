"""Whatever happens to the cache, the images that it returns are right."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.digit_files import Folder, digits, files

from okdbench.core.errors import UserError
from okdbench.data import cache
from okdbench.data.cache import load_domain
from okdbench.data.dataset import Sample
from okdbench.data.image_form import ImageForm
from okdbench.datasets.digits import Digits


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return digits(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def no_decoding(*_: object) -> None:
    raise AssertionError("decoded again")


def test_images_come_out_unchanged_and_sorted_by_path(folder: Folder, root: Path) -> None:
    images = load_domain(folder, "any", 32, root)
    expected = sorted(folder.samples("any", root), key=lambda sample: sample.path)
    assert images.paths == tuple(sample.path for sample in expected)
    assert images.labels.tolist() == [sample.label for sample in expected]
    assert images.labels.dtype == np.int64
    assert (images.pixels == np.stack([np.asarray(Image.open(sample.source)) for sample in expected])[..., None]).all()
    assert files(root) == [".json", ".npy"]


def test_arrays_are_cached_like_files(root: Path) -> None:
    samples = sorted(Digits().samples("optical", root), key=lambda sample: sample.path)
    images = load_domain(Digits(), "optical", 32, root)
    assert len(images) == len(samples) > cache.BLOCK
    assert (images.pixels == np.stack([sample.source for sample in samples])[..., None]).all()


def test_the_order_on_disk_does_not_matter(folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_domain(folder, "any", 32, root)
    monkeypatch.setattr(cache, "decode", no_decoding)
    after = load_domain(Folder(folder.samples("any", root)[::-1]), "any", 32, root)
    assert before.digest == after.digest


def flip_a_pixel(array: Path, _: Path) -> None:
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)


def lose_the_end(array: Path, _: Path) -> None:
    os.truncate(array, 1000)


def damage_the_header(array: Path, _: Path) -> None:
    array.write_bytes(array.read_bytes().replace(b"{", b"(", 1))


def change_the_type(array: Path, _: Path) -> None:
    np.save(array, np.load(array).astype(np.int16))


def change_the_shape(array: Path, _: Path) -> None:
    np.save(array, np.load(array)[:-1])


def empty_the_array(array: Path, _: Path) -> None:
    array.write_bytes(b"")


def delete_the_array(array: Path, _: Path) -> None:
    array.unlink()


def delete_the_manifest(_: Path, manifest: Path) -> None:
    manifest.unlink()


def cut_the_manifest(_: Path, manifest: Path) -> None:
    os.truncate(manifest, 20)


def write_nonsense_into_the_manifest(_: Path, manifest: Path) -> None:
    manifest.write_bytes(b"\xff\x00[]")


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_pixel, lose_the_end, damage_the_header, change_the_type, change_the_shape, empty_the_array,
        delete_the_array, delete_the_manifest, cut_the_manifest, write_nonsense_into_the_manifest,
    ],
)  # fmt: skip
def test_a_damaged_cache_is_rebuilt(folder: Folder, root: Path, damage: Callable[[Path, Path], None]) -> None:
    digest = load_domain(folder, "any", 32, root).digest
    (array,) = root.glob("cache/*.npy")
    intact = array.read_bytes()
    damage(array, array.with_suffix(".json"))
    assert load_domain(folder, "any", 32, root).digest == digest
    assert array.read_bytes() == intact


def test_an_intact_cache_is_used(folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = load_domain(folder, "any", 32, root).digest
    monkeypatch.setattr(cache, "decode", no_decoding)
    assert load_domain(folder, "any", 32, root).digest == digest


def test_a_changed_file_is_read_again(folder: Folder, root: Path) -> None:
    before = load_domain(folder, "any", 32, root)
    changed = folder.samples("any", root)[3]
    Image.new("RGB", (32, 32), "red").save(changed.source)
    after = load_domain(folder, "any", 32, root)
    assert before.digest != after.digest
    assert (after.pixels[after.paths.index(changed.path)] == (255, 0, 0)).all()


@pytest.mark.parametrize(("name", "value"), [("RECIPE", 0), ("PIL.__version__", "0")])
def test_another_recipe_makes_another_cache_in_place_of_the_first(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    before = load_domain(folder, "any", 32, root)
    (old,) = root.glob("cache/*.npy")
    monkeypatch.setattr(f"okdbench.data.cache.{name}", value)
    assert load_domain(folder, "any", 32, root).digest == before.digest
    (new,) = root.glob("cache/*.npy")
    assert new != old, "and the old one is gone"


def test_sizes_have_caches_of_their_own(folder: Folder, root: Path) -> None:
    assert load_domain(folder, "any", 32, root).pixels.shape == (12, 32, 32, 3)
    assert load_domain(folder, "any", 16, root).pixels.shape == (12, 16, 16, 3)


def test_runs_that_see_the_images_in_another_form_keep_theirs(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = (ImageForm(32), ImageForm(32, resize="pad"), ImageForm(32, channels=1))

    def load() -> list[str]:
        digests = []
        for form in forms:
            monkeypatch.setattr(Folder, "form", lambda *_, form=form: form)
            digests.append(load_domain(folder, "any", 32, root).digest)
        return digests

    before = load()
    monkeypatch.setattr(cache, "decode", no_decoding)
    assert load() == before


def build(samples: Sequence[Sample], root: Path, log: Path, start: Any, results: Any) -> None:
    """Load the cache at the same time as the other process; every decoded image leaves a byte in ``log``."""
    decode = cache.decode

    def logged(sample: Sample, form: ImageForm) -> Any:
        with log.open("ab") as file:
            file.write(b".")
        return decode(sample, form)

    cache.decode = logged
    start.wait(60)
    results.put(load_domain(Folder(samples), "any", 32, root).digest)


def test_two_processes_build_once(folder: Folder, root: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    arguments = (folder.samples("any", root), root, tmp_path / "log", start, results)
    processes = [context.Process(target=build, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    digests = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert digests == {load_domain(folder, "any", 32, root).digest}
    assert (tmp_path / "log").stat().st_size == 12


@pytest.mark.parametrize("torn", [0, 5])
def test_an_interrupted_cache_continues_after_its_last_whole_block(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch, torn: int
) -> None:
    expected = load_domain(folder, "any", 32, root / "elsewhere").pixels
    monkeypatch.setattr(cache, "BLOCK", 5)
    whole, decoded = cache.decode, []

    def decode(sample: Sample, form: ImageForm) -> np.ndarray:
        decoded.append(sample.path)
        if len(decoded) == 12:
            raise KeyboardInterrupt
        return whole(sample, form)

    monkeypatch.setattr(cache, "decode", decode)
    with pytest.raises(KeyboardInterrupt):
        load_domain(folder, "any", 32, root)
    (part,) = root.glob("cache/*.part")
    with part.open("ab") as stream:
        stream.write(b"x" * torn)
    decoded.clear()
    assert (load_domain(folder, "any", 32, root).pixels == expected).all()
    assert decoded == [f"{i:02d}.png" for i in (10, 11)]
    assert files(root) == [".json", ".npy"]


def killed_while_decoding(folder: Folder, root: Path) -> None:
    """Load with blocks of five, and be killed at the twelfth image."""
    whole, count = cache.decode, itertools.count(1)

    def decode(sample: Sample, form: ImageForm) -> np.ndarray:
        if next(count) == 12:
            time.sleep(0.3)  # the other decoders of the block finish, and the blocks before it are on the disk
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(sample, form)

    cache.BLOCK, cache.decode = 5, decode
    load_domain(folder, "any", 32, root)


def test_a_killed_process_leaves_whole_blocks_to_continue_from(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_domain(folder, "any", 32, root / "elsewhere").pixels
    process = multiprocessing.get_context("fork").Process(target=killed_while_decoding, args=(folder, root))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    decoded: list[str] = []
    monkeypatch.setattr(cache, "BLOCK", 5)
    whole = cache.decode
    monkeypatch.setattr(cache, "decode", lambda sample, form: (decoded.append(sample.path), whole(sample, form))[1])
    assert (load_domain(folder, "any", 32, root).pixels == expected).all()
    assert decoded == ["10.png", "11.png"]


def test_a_full_disk_leaves_nothing(folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write to .*data/cache: the disk is full; free some space"):
        load_domain(folder, "any", 32, root)
    assert files(root) == []


def test_a_root_that_is_a_file_is_an_error(folder: Folder, root: Path) -> None:
    root.write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*data/cache: .*--data-root"):
        load_domain(folder, "any", 32, root)


def test_other_faults_of_the_disk_are_named(folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fault)
    with pytest.raises(UserError, match=r"cannot write to .*data/cache: Input/output error"):
        load_domain(folder, "any", 32, root)
    assert files(root) == []
