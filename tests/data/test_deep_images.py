"""Images of more than eight bits: they are scaled by one range, and are never black."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.error_text import refusal
from support.own_images import write

from okdbench import registry
from okdbench.data.cache import load_domain
from okdbench.data.decoding import measured_range, read_image
from okdbench.data.image_form import ImageForm
from okdbench.training.plan import make_plan
from okdbench.training.predict import predict
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student import unpack

#: a gradient from dark to light in 0 .. 1
RAMP = np.linspace(0, 1, 16 * 16).reshape(16, 16)


def colour_png(values: np.ndarray) -> bytes:
    """H x W x 3 or 4 values of 16 bits, which Pillow cannot write, as a PNG."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(bands: int, size: int = 16) -> bytes:
    """A TIFF of so many bands with 16 bits each, which Pillow cannot write."""
    lists = np.array([[16] * bands, [1] * bands], "<u2").tobytes()  # bits and kind of each band
    start = 8 + 2 + 12 * 10 + 4
    pixels = start + len(lists)
    tags = [(256, 3, 1, size), (257, 3, 1, size), (258, 3, bands, start), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 4, 1, pixels), (277, 3, 1, bands), (278, 3, 1, size), (279, 4, 1, 2 * bands * size**2),
            (339, 3, bands, start + 2 * bands)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + lists + bytes(2 * bands * size**2)


def save(file: Path, values: np.ndarray) -> Path:
    if values.ndim == 3:
        file.write_bytes(colour_png(values))
    else:
        Image.fromarray(values).save(file)
    return file


def scaled(file: Path) -> np.ndarray:
    """The pixels of an image that is alone in its domain."""
    return read_image(file, ImageForm(16, max_value=measured_range([file])))


@pytest.mark.parametrize("white", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_fewer_bits_in_sixteen_are_stretched_to_bytes(white: int, channels: int, tmp_path: Path) -> None:
    values = np.round(RAMP * white).astype(np.uint16)
    values = values if channels == 1 else np.stack([values] * 3, -1)
    pixels = scaled(save(tmp_path / "a.png", values))
    assert np.abs(pixels[..., 0] - RAMP * 255).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "white"),
    [(np.uint16, 1), (np.uint16, 14), (np.int32, 14), (np.int32, 1e6)]
    + [(np.float32, white) for white in (0.4, 1, 14, 255, 4095, 1e6)],
)
def test_no_range_is_black(dtype: type, white: float, tmp_path: Path) -> None:
    pixels = scaled(save(tmp_path / "a.tif", (RAMP * white).astype(dtype)))
    assert pixels.max() >= (102 if white < 1 else 254)
    assert pixels.min() == 0


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run whose images have eight bits, and its key."""
    folder = tmp_path_factory.mktemp("eight")
    for label in ("cup", "pen"):
        (folder / "phone" / label).mkdir(parents=True)
        for index in range(10):
            save(folder / "phone" / label / f"{index}.png", (RAMP * 255).astype(np.uint8))
    file = write(folder / "own.yaml", domains={"phone": "phone"})
    network = {"teacher": "test_resnet", "student": "test_resnet", "image_size": 16, "device": "cpu"}
    values = {"method": "dafl", "dataset": str(file), "setting": "P", "budget": "smoke", **network}
    return folder / "runs", execute(make_plan(values, data_root=folder), folder / "runs", quiet).key


def test_all_images_of_a_domain_have_one_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dark image stays dark beside a light one, and predict sees it as the student did."""
    for label, light in (("dark", 0.05), ("light", 1.0)):
        (tmp_path / "phone" / label).mkdir(parents=True)
        for index in range(10):
            save(tmp_path / "phone" / label / f"{index}.png", np.round(RAMP * 4095 * light).astype(np.uint16))
    file = write(tmp_path / "own.yaml", domains={"phone": "phone"})
    images = load_domain(registry.load_dataset(str(file)), "phone", 16, tmp_path)
    assert images.max_value == 4095
    assert [int(images.pixels[images.labels == label].max()) for label in (0, 1)] == [13, 255]
    assert load_domain(registry.load_dataset(str(file)), "phone", 16, tmp_path).max_value == 4095, "from the cache"
    network = {"teacher": "test_resnet", "student": "test_resnet", "image_size": 16, "device": "cpu"}
    values = {"method": "dafl", "dataset": str(file), "setting": "P", "budget": "smoke", **network}
    record = execute(make_plan(values, data_root=tmp_path), tmp_path / "runs", quiet)
    student = unpack((tmp_path / "runs" / record.key / "student.safetensors").read_bytes())
    assert student.card.max_value == 4095
    seen: list[np.ndarray] = []
    monkeypatch.setattr("okdbench.training.predict._best", lambda _, images, *__: seen.extend(images) or [[]] * 10)
    predict(record.key, [tmp_path / "phone" / "dark"], None, 1, tmp_path / "runs", "cpu")
    assert np.array_equal(np.stack(seen), images.pixels[images.labels == 0])
    write(tmp_path / "own.yaml", domains={"phone": "phone"}, max_value=65535)
    declared = load_domain(registry.load_dataset(str(file)), "phone", 16, tmp_path)
    assert (declared.max_value, int(declared.pixels[:].max())) == (65535, 16)


@pytest.mark.parametrize(
    ("dtype", "white", "known", "pixel", "note"),
    [
        (np.uint16, 690, None, 3, "white is 65535 in files of more than 8 bits, by the bits that they declare"),
        (np.uint16, 690, 4095, 43, "white is 4095 in files of more than 8 bits; --max-value sets it\n"),
        (np.uint16, 690, 65535, 3, "--max-value sets it; warning: by their values it is 1023"),
        (np.uint16, 690, 255, 255, "--max-value sets it; warning: by their values it is 1023"),
        (np.float32, 0.4, 255, 0, "--max-value sets it; warning: by their values it is 1"),
        (np.float32, 0.4, None, 102, "white is 1 in files of more than 8 bits, by the bits that they declare"),
        (np.float32, 255, 255, 255, "white is 255 in files of more than 8 bits; --max-value sets it"),
        (np.uint8, 43, None, 43, ""),
    ],
)
def test_a_student_of_eight_bits_does_not_go_by_each_image_alone(
    dtype: type, white: float, known: float | None, pixel: int, note: str, student: tuple[Path, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    runs, key = student
    seen: list[np.ndarray] = []
    monkeypatch.setattr("okdbench.training.predict._best", lambda _, images, *__: seen.extend(images) or [[]])
    file = save(tmp_path / "a.tif", np.round(RAMP * white, 0 if white > 1 else 9).astype(dtype))
    capsys.readouterr()
    if not known:  # nothing to compare with, so all files are not read for it
        monkeypatch.setattr("okdbench.training.predict.measured_range", None)
    predict(key, [file], None, 1, runs, "cpu", max_value=known)
    assert int(seen[0].max()) == pixel
    said = capsys.readouterr().err
    assert note in said
    assert bool(note) == bool(said)


@pytest.mark.parametrize(("dtype", "reason"), [(np.float32, "its values exceed 1"), (np.int32, "it has 32 bits")])
def test_a_range_that_nothing_says_is_not_guessed(
    dtype: type, reason: str, student: tuple[Path, str], tmp_path: Path
) -> None:
    runs, key = student
    file, output = save(tmp_path / "a.tif", (RAMP * 200).astype(dtype)), tmp_path / "a.csv"
    assert not predict(key, [file], output, 1, runs, "cpu")
    assert f"{reason}, and nothing says what is white; --max-value does" in output.read_text()
    assert predict(key, [file], output, 1, runs, "cpu", replace=True, max_value=255)
    assert "must be more than 0" in refusal(predict, key, [file], None, 1, runs, "cpu", max_value=0)


def test_the_parts_of_a_domain_have_one_range(tmp_path: Path) -> None:
    for part, light in (("train", 1.0), ("test", 0.05)):
        (tmp_path / "phone" / part / "cup").mkdir(parents=True)
        save(tmp_path / "phone" / part / "cup" / "a.png", np.round(RAMP * 4095 * light).astype(np.uint16))
    dataset = registry.load_dataset(str(write(tmp_path / "own.yaml", domains={"phone": "phone"})))
    images = [load_domain(dataset, domain, 16, tmp_path) for domain in ("phone", "phone.test")]
    assert [(each.max_value, int(each.pixels[:].max())) for each in images] == [(4095, 255), (4095, 13)]


def test_transparency_and_rotation_of_deep_images(tmp_path: Path) -> None:
    values = np.zeros((16, 16, 4), np.uint16)
    values[:8, :, 3] = 65535
    pixels = read_image(save(tmp_path / "a.png", values), ImageForm(16))
    assert (pixels[:7].max(), pixels[9:].min()) == (0, 255), "white where it is transparent"
    image, exif = Image.fromarray((RAMP * 65535).astype(np.uint16)), Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "b.tif", exif=exif)
    assert np.abs(read_image(tmp_path / "b.tif", ImageForm(16))[::-1, ::-1, 0] - RAMP * 255).max() <= 1


def test_what_has_no_range_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", (RAMP * 2 - 1).astype(np.float32))
    assert "its values begin at -1; save it with values from 0 on" in refusal(
        read_image, tmp_path / "a.tif", ImageForm(16)
    )
    (tmp_path / "phone" / "cup").mkdir(parents=True)
    save(tmp_path / "phone" / "cup" / "a.tif", RAMP.astype(np.float32))
    save(tmp_path / "phone" / "cup" / "b.png", (RAMP * 65535).astype(np.uint16))
    dataset = registry.load_dataset(str(write(tmp_path / "own.yaml", domains={"phone": "phone"})))
    assert "convert them to one kind" in refusal(load_domain, dataset, "phone", 16, tmp_path)
    save(tmp_path / "c.tif", np.full((16, 16), np.nan, np.float32))
    assert read_image(tmp_path / "c.tif", ImageForm(16)).max() == 0, "no number is black"


@pytest.mark.parametrize("bands", [4, pytest.param(13, marks=pytest.mark.slow)])
def test_a_tiff_of_many_bands_is_named_in_one_line(bands: int, tmp_path: Path) -> None:
    """As those of Sentinel-2, without the lines that Pillow logs."""
    (tmp_path / "phone" / "cup").mkdir(parents=True)
    for index in range(30):
        (tmp_path / "phone" / "cup" / f"{index:02d}.tif").write_bytes(tiff(bands))
    file = write(tmp_path / "own.yaml", domains={"phone": "phone"})
    words = [sys.executable, "-m", "okdbench", "run", "--method", "dafl", "--dataset", str(file), "--setting", "P"]
    words += ["--data-root", str(tmp_path / "root")]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stderr
    end = f"19.tif and 10 more (a TIFF of {bands} bands: save three of them as an image); replace or delete them, then"
    assert said.count(end) == 1
    assert "samples per pixel" not in said.lower()
