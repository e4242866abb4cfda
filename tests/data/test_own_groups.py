"""Images that belong together are in one split, and copies in two splits are pointed out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from support.dataset_trees import SHARED, needs_office
from support.error_text import refusal
from support.own_images import write
from typer.testing import CliRunner

from okdbench import registry
from okdbench.cli.app import app
from okdbench.core.folds import FOLDS, split
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.images import Images
from okdbench.data.near_duplicates import Copies, copies, kept
from okdbench.data.own_passport import compared, leaks
from okdbench.data.splits import Splits
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

TINY = {"method": "dafl", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}
CLASSES = ("cup", "lamp", "pen")


def noise(seed: int, size: int = 32) -> Image.Image:
    """An image of a few coloured patches."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Thirty objects, ten of each class, six times each with a little noise."""
    rng = np.random.default_rng(0)
    for index in range(30):
        folder = tmp_path / "phone" / CLASSES[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        for shot in range(6):
            pixels = np.asarray(noise(index)).astype(int) + rng.integers(-3, 4, (32, 32, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"obj{index:02d}_{shot}.png")
    return tmp_path / "phone"


def splits_of(file: Path, seed: int = 0) -> Splits:
    values = {**TINY, "dataset": str(file), "setting": "P", "seed": seed}
    return make_plan(values, data_root=file.parent / "root").splits


def leaks_of(file: Path, seed: int = 0) -> str:
    dataset = registry.load_dataset(str(file))
    assert isinstance(dataset, OwnDataset)
    splits = splits_of(file, seed)
    return leaks(splits, compared(dataset, splits, file.parent / "root"), bool(dataset.official_tests))


@pytest.mark.parametrize("pattern", [r"(obj\d+)_", r"/obj(\d+)"])
def test_images_of_one_group_are_in_one_split(objects: Path, pattern: str) -> None:
    file = write(objects.parent / "shop.yaml", domains={"phone": "phone"}, groups=pattern)
    tested = []
    for seed in range(FOLDS):
        splits = splits_of(file, seed)
        groups = [set(part.groups) for part in (splits.teacher_train, splits.test)]
        assert not groups[0] & groups[1]
        assert (len(groups[0]), len(groups[1]), len(splits.test)) == (24, 6, 36)
        tested += splits.test.paths
    assert len(set(tested)) == len(tested) == 180
    plain = splits_of(write(objects.parent / "plain.yaml", domains={"phone": "phone"}))
    names = [{path.split("/")[2][:5] for path in part.paths} for part in (plain.teacher_train, plain.test)]
    assert names[0] & names[1]


def test_photographs_of_one_object_in_two_splits_are_pointed_out(
    objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grouped = write(objects.parent / "grouped.yaml", domains={"phone": "phone"}, groups=r"(obj\d+)")
    plain = write(objects.parent / "plain.yaml", domains={"phone": "phone"})
    (objects / "cup" / "copy.png").write_bytes((objects / "cup" / "obj00_0.png").read_bytes())
    for file in (grouped, plain):
        plan = make_plan({**TINY, "dataset": str(file), "setting": "P"}, data_root=objects.parent / "root")
        execute(plan, objects.parent / "runs", quiet)
    said = capsys.readouterr().err
    tested = len(splits_of(plain).test)
    assert f"plain P seed 0: warning: of {tested} test images " in said
    assert "keep images of one object together with groups:" in said
    assert "grouped P seed 0: warning: of" not in said.replace("1 are equal to", "")
    checked = CliRunner().invoke(app, ["data", "check", str(grouped)]).stdout
    assert "groups 30, and 1 images in none" in checked
    assert "exact duplicates in phone: 1" in checked
    assert (
        "nearly equal to (perhaps mirrored or turned) images"
        in CliRunner().invoke(app, ["data", "check", str(plain)]).stdout
    )


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("(", "groups is no regular expression"),
        ("patient", "neither a column of every list nor a regular expression with its name in parentheses"),
        (r"(patient\d+)", "is in none of 180 paths, such as cup/obj00_0.png"),
        ("(obj)", "split of fold 0 of 0-4 (they are in 1 groups; if they are of more objects, correct groups:)"),
    ],
)
def test_a_wrong_pattern_is_refused(objects: Path, groups: str, message: str) -> None:
    file = write(objects.parent / "shop.yaml", domains={"phone": "phone"}, groups=groups)
    assert message in refusal(splits_of, file)


def test_images_that_a_pattern_misses_are_named(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a run as by the check; those of an unlabelled domain need no group."""
    for file in sorted(objects.glob("*/*.png"))[8:]:
        file.rename(file.with_name(file.name.capitalize()))
    noise(99).save(objects.parent / "new.png")
    (objects.parent / "web.txt").write_text("new.png\n")
    content = {"domains": {"phone": "phone", "web": "web.txt"}, "unlabelled": ["web"], "settings": ["P"]}
    for name, pattern, missed in (("partly", r"(obj\d+)_", True), ("fully", r"([Oo]bj\d+)_", False)):
        file = write(objects.parent / f"{name}.yaml", **content, groups=pattern)
        execute(make_plan({**TINY, "dataset": str(file)}, data_root=objects.parent), objects.parent / "runs", quiet)
        start, said = f"{name}: warning: {pattern} of groups: is not in ", capsys.readouterr().err
        assert said.count(f"{start}172 of 180 paths, such as phone/cup/Obj03_2.png; if these belong") == missed
        assert (start in said) == missed
        assert (start in CliRunner().invoke(app, ["data", "check", str(file)]).stdout) == missed


def test_a_group_that_the_list_itself_divides_is_to_be_moved(objects: Path) -> None:
    rows = [
        f"phone/{file.parent.name}/{file.name},{file.parent.name},{file.name[:5]},{'test' if '_0' in file.name else ''}"
        for file in sorted(objects.rglob("*.png"))
    ]
    (objects.parent / "list.csv").write_text("\n".join(["path,label,group,split", *rows]))
    text = leaks_of(write(objects.parent / "shop.yaml", domains={"phone": "list.csv"}))
    assert "30 in a group of images" in text
    assert text.endswith("remove copies, and put all images of one group or object into one part")


def test_every_fold_of_groups_has_all_parts_of_each_class() -> None:
    """Five objects in each of two classes: one is tested, one validates, three train."""
    names = [f"{label}{index}" for label in "ab" for index in range(5) for _ in range(4)]
    paths, labels = [f"{name}/{i}" for i, name in enumerate(names)], [0] * 20 + [1] * 20
    for fold in range(FOLDS):
        parts = split(paths, labels, fold, groups=names)
        for part, count in {"train": 12, "val": 4, "test": 4}.items():
            assert [sum(labels[i] == label for i in parts[part]) for label in (0, 1)] == [count, count]
        assert sorted(np.concatenate(list(parts.values()))) == list(range(40))
    shuffled = np.random.default_rng(0).permutation(40)
    again = split([paths[i] for i in shuffled], [labels[i] for i in shuffled], 2, groups=[names[i] for i in shuffled])
    assert {paths[i] for i in split(paths, labels, 2, groups=names)["test"]} == {
        paths[shuffled[i]] for i in again["test"]
    }


def batch(*images: Image.Image, size: int = 32) -> Images:
    pixels = np.stack([np.asarray(image.convert("RGB").resize((size, size))) for image in images])
    return Images(pixels, np.zeros(len(images), np.int64), tuple(map(str, range(len(images)))))


def test_equal_and_nearly_equal_images_are_told_apart(tmp_path: Path) -> None:
    known = batch(*(noise(seed, 64) for seed in range(20)))
    noise(1, 64).resize((40, 40)).save(tmp_path / "small.jpg", quality=60)
    small = Image.open(tmp_path / "small.jpg")
    assert copies(batch(noise(0, 64), small, noise(50, 64), noise(51, 64)), known) == Copies(1, 1)
    even = batch(Image.new("RGB", (9, 9), "red"))
    assert copies(even, batch(Image.new("RGB", (9, 9), "blue"))) == Copies(0, 0), "an even colour has no likeness"
    assert copies(even, even) == Copies(1, 0)


@pytest.mark.parametrize(("label", "others"), [(0, 0), (1, 5), (2, 6), (-1, 0)])
def test_copies_of_another_class_are_counted(label: int, others: int) -> None:
    """What is there in two classes has its own, and -1 is none."""
    images = [noise(seed, 64) for seed in range(6)]
    tested = batch(*images, images[0].point(lambda value: int(value * 0.6)))
    known = replace(batch(*images, images[5]), labels=np.array([0, 0, 0, 0, -1, 0, 1]))
    assert copies(replace(tested, labels=np.full(7, label)), known) == Copies(6, 1, relabelled=others)


@pytest.mark.parametrize("numbers", [(0, 1, 2), (1, 2, 0)])
def test_copies_in_a_list_that_numbers_the_classes_otherwise_are_told(objects: Path, numbers: tuple[int, ...]) -> None:
    for part, of in {"train": (0, 1, 2), "test": numbers}.items():
        chosen = [file for file in sorted(objects.rglob("*.png")) if ("_0" in file.name) == (part == "test")]
        lines = [f"{file} {of[CLASSES.index(file.parent.name)]}" for file in chosen]
        (objects.parent / f"{part}.txt").write_text("\n".join(lines))
    file = write(objects.parent / "shop.yaml", domains={"phone": {"train": "train.txt", "test": "test.txt"}})
    said = "validated on, and 30 of these test images have another class than their copies (do both parts number the"
    assert (said in leaks_of(file)) == (numbers != (0, 1, 2))


@pytest.mark.parametrize("size", [28, 32])
def test_images_are_compared_in_all_positions_and_darker(size: int) -> None:
    whole = noise(0, 64)
    known = batch(whole, *(noise(seed, 64) for seed in range(1, 20)), size=size)
    turned = [whole.transpose(position) for position in Image.Transpose]
    darker = [image.point(lambda value: int(value * 0.6)) for image in turned]
    assert len(turned) == 7
    assert copies(batch(*turned, *darker, size=size), known) == Copies(0, 14)
    assert copies(batch(*(noise(seed, 64) for seed in range(50, 100)), size=size), known) == Copies(0, 0)


def test_the_grey_version_of_a_coloured_image_is_found() -> None:
    images = [
        Image.merge("RGB", [noise(3 * seed + channel, 64).convert("L") for channel in range(3)]) for seed in range(9)
    ]
    assert copies(batch(*(image.convert("L") for image in images[:4])), batch(*images)) == Copies(0, 4)


def test_digits_that_look_alike_when_turned_are_no_copies() -> None:
    digits = [Image.fromarray((pixels * 15).astype(np.uint8)) for pixels in load_digits().images]
    assert copies(batch(*digits[:360]), batch(*digits[360:])).near <= 1


@needs_office
def test_photographs_that_look_alike_when_turned_are_no_copies() -> None:
    photos = [Image.open(file) for file in sorted((SHARED / "office31-10class").glob("webcam/images/*/*.jpg"))]
    assert copies(batch(*photos[::2]), batch(*photos[1::2])) == Copies(0, 0)


def test_a_split_is_compared_once(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, searches = write(objects.parent / "shop.yaml", domains={"phone": "phone"}), []

    def counted(tested: Images, trained: Images) -> Copies:
        searches.append(len(tested))
        return copies(tested, trained)

    monkeypatch.setattr("okdbench.data.own_passport.copies", counted)
    first = leaks_of(file)
    assert (leaks_of(file), len(searches)) == (first, 1)
    assert "nearly equal to" in first
    leaks_of(file, seed=1)
    assert len(searches) == 2, "another split"
    noise(99).save(next(objects.glob("*/*.png")))
    leaks_of(file)
    assert len(searches) == 3, "another image"
    for result in (objects.parent / "root" / "cache").glob("shop-copies-*.json"):
        result.write_text("[1")
    leaks_of(file)
    assert len(searches) == 4, "a damaged file"


@pytest.mark.parametrize("most", [150, 10**6])
def test_near_copies_that_are_not_looked_for_are_said(
    most: int, objects: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the result is read back; equal ones are found all the same."""
    monkeypatch.setattr("okdbench.data.near_duplicates.MOST_PAIRS", most)
    file, said = write(objects.parent / f"of{most}.yaml", domains={"phone": "phone"}), "nearly equal copies are not"
    for _ in range(2):
        lines = CliRunner().invoke(app, ["data", "check", str(file)]).stdout.splitlines()
        assert lines.count(f"  {said} looked for: too many images") == (most == 150)
    plan = make_plan({**TINY, "dataset": str(file), "setting": "P"}, data_root=objects.parent)
    execute(plan, objects.parent / "runs", quiet)
    told = capsys.readouterr().err
    assert (f"of{most} P seed 0: {said} looked for" in told, "nearly equal to" in told) == (most == 150, most != 150)
    image = batch(noise(1))
    monkeypatch.setattr("okdbench.data.near_duplicates.MOST_PAIRS", 0)
    assert copies(image, image) == Copies(1, 0, only_equal=True)


def test_what_cannot_be_kept_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    found = Copies(1, 2, ("a",))
    assert kept(tmp_path / "cache" / "shop-copies", "digest", lambda: found) == found


def test_groups_that_are_learned_from_and_tested_on_are_told(objects: Path) -> None:
    for index, file in enumerate(sorted(objects.glob("*/*.png"))):
        part = objects / ("train", "train", "val", "test")[index % 4] / file.parent.name
        part.mkdir(parents=True, exist_ok=True)
        file.rename(part / file.name)
    for name in CLASSES:
        (objects / name).rmdir()
    file = write(objects.parent / "shop.yaml", domains={"phone": "phone"}, groups=r"(obj\d+)_")
    assert "45 in a group of" in leaks_of(file)


def test_groups_are_part_of_the_digest(objects: Path) -> None:
    with_groups, without = (
        splits_of(write(objects.parent / f"{name}.yaml", domains={"phone": "phone"}, **groups)).images_digest
        for name, groups in (("with", {"groups": r"(obj\d+)_"}), ("without", {}))
    )
    assert with_groups != without
