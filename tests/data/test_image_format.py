"""Channels and statistics of the images: the data set's own, or what a run or a description asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torchvision.transforms import v2

from okdbench import registry
from okdbench.core.errors import UserError
from okdbench.data.dataset import IMAGENET_MEAN, Sample
from okdbench.data.decoding import decode
from okdbench.data.image_form import ImageForm
from okdbench.distill.networks.wrapper import Normaliser
from okdbench.training.plan import make_plan
from okdbench.training.predict import predict
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

KD = {"method": "kd", "dataset": "digits", "setting": "O-P", "budget": "smoke"}


def test_a_data_set_can_be_seen_in_other_channels() -> None:
    digits, office = registry.load_dataset("digits"), registry.load_dataset("office31")
    assert (digits.channels, digits.mean, office.channels, office.mean) == (1, (0.111,), 3, IMAGENET_MEAN)
    assert digits.with_format(3, None, None).std == (0.28,) * 3
    assert office.with_format(1, None, None).mean == pytest.approx((0.449,))
    assert office.with_format(None, (0.5,), (0.1, 0.2, 0.3)).mean == (0.5,) * 3
    assert registry.load_dataset("digits").channels == 1
    with pytest.raises(UserError, match="unknown rule of resize 'Pad'; did you mean 'pad'"):
        digits.with_format(resize="Pad")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": "0.1,0.2"}, "--mean 0.1,0.2: these images need one number"),
        ({"mean": "0.1,0.2", "channels": 3}, "--mean 0.1,0.2: these images need one or three numbers"),
        ({"std": "0"}, "--std 0.0: each number must be more than 0"),
        ({"mean": "half"}, "mean='half': input should be a valid number"),
        ({"channels": 2}, "channels=2: not a choice"),
        ({"resize": "Pad"}, "resize='Pad': not a choice; allowed stretch, crop, pad"),
        ({"resize": "crop:2"}, "resize='crop:2': not a choice"),
        ({"resize": "pad:0.5"}, "resize='pad:0.5': not a choice"),
        ({"mean": "124"}, "--mean 124.0: more than 1; for pixels from 0 to 255 add --value-range 255"),
        ({"value_range": 100}, "value_range=100: not a choice"),
    ],
    ids=str,
)
def test_what_fits_no_image_is_refused(values: dict[str, object], message: str, data_root: Path) -> None:
    with pytest.raises(UserError, match=message.split(":")[0]) as caught:
        make_plan({**KD, **values}, data_root=data_root)
    assert message in str(caught.value)


def test_the_key_the_command_and_the_group_know_the_statistics(data_root: Path) -> None:
    plain, moved, colour, own = (
        make_plan({**KD, **values}, data_root=data_root)
        for values in ({}, {"mean": "0.5", "std": "0.5"}, {"channels": 3}, {"mean": "0.111", "channels": 1})
    )
    assert len({plan.key for plan in (plain, moved, colour)}) == 3
    assert own.key == plain.key
    assert (own.config, own.command) == (plain.config, plain.command)
    # One number for three channels is the same as three, and so of one comparison group.
    values = [{"channels": 3, "mean": text} for text in ("0.4", "0.4,0.4,0.4")]
    one, three = (make_plan({**KD, **each}, data_root=data_root) for each in values)
    assert one.config == three.config
    padded, usual = (make_plan({**KD, "resize": each}, data_root=data_root) for each in ("pad", "stretch"))
    assert "--resize pad" in padded.command
    assert (usual.key, usual.command) == (plain.key, plain.command)
    assert "--mean 0.5 --std 0.5" in moved.command
    assert "--mean" not in plain.command
    assert colour.access.images.pixels.shape[1:] == (32, 32, 3)
    assert plain.access.images.pixels.shape[1:] == (32, 32, 1)
    assert np.array_equal(colour.access.images.pixels[..., :1], plain.access.images.pixels[:])


def test_files_of_the_other_kind_are_converted(tmp_path: Path) -> None:
    colour = Image.new("RGB", (20, 20), (200, 100, 0))
    colour.save(tmp_path / "colour.png")
    colour.convert("L").save(tmp_path / "grey.png")
    grey = [decode(Sample("x", 0, tmp_path / f"{name}.png"), ImageForm(16, 1)) for name in ("colour", "grey")]
    assert grey[0].shape == (16, 16, 1)
    assert np.array_equal(*grey)
    assert decode(Sample("x", 0, tmp_path / "grey.png"), ImageForm(16)).shape == (16, 16, 3)


def test_a_description_of_own_images_may_say_how_they_are_seen(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "phone" / label).mkdir(parents=True)
    file = tmp_path / "own.yaml"
    file.write_text(
        "domains: {phone: phone}\nchannels: 1\nmean: 0.2\nstd: [0.3]\naugmentation: [crop, flip]\n"
        "teacher_augmentation: []\n"
    )
    dataset = registry.load_dataset(str(file))
    assert (dataset.channels, dataset.mean, dataset.std) == (1, (0.2,), (0.3,))
    assert (dataset.augmentation, dataset.teacher_augmentation) == (("flip", "crop"), ())
    key = dataset.extra_key
    file.write_text(file.read_text().replace("mean: 0.2", "mean: 0.3"))
    assert registry.load_dataset(str(file)).extra_key != key
    file.write_text("domains: {phone: phone}\nmean: 124\n")
    with pytest.raises(
        UserError, match=r"own.yaml: mean 124.0: more than 1; for pixels from 0 to 255 add value_range: 255"
    ):
        registry.load_dataset(str(file))
    file.write_text("domains: {phone: phone}\nmean: [0.2, 0.3]\n")
    with pytest.raises(UserError, match=r"own.yaml: mean 0.2,0.3: these images need one or three numbers"):
        registry.load_dataset(str(file))


def test_a_part_of_the_image_is_its_centre() -> None:
    rows, columns = np.mgrid[:80, :120]
    pixels = np.stack([2 * columns, 3 * rows, rows + columns], -1).astype(np.uint8)
    sample = Sample("x", 0, pixels)
    assert np.array_equal(decode(sample, ImageForm(40, resize="crop:0.5")), pixels[20:60, 40:80])
    assert np.array_equal(decode(sample, ImageForm(80, resize="crop")), pixels[:, 20:100])
    cut = Image.fromarray(pixels[20:60, 30:90])
    assert np.array_equal(
        decode(sample, ImageForm(32, resize="stretch:0.5")), decode(Sample("x", 0, np.asarray(cut)), ImageForm(32))
    )


def test_values_up_to_255_are_kept_as_those_up_to_1() -> None:
    office = registry.load_dataset("office31")
    raw = office.with_format(value_range=255)
    assert (raw.mean, raw.std) == ((0.0,) * 3, (1 / 255,) * 3)
    caffe = office.with_format(mean=(51.0, 102.0, 153.0), value_range=255, channel_order="bgr")
    assert (caffe.mean, caffe.std) == (pytest.approx((0.2, 0.4, 0.6)), (1 / 255,) * 3)
    assert caffe.with_format(1).channel_order == "rgb"


def test_a_network_that_gets_blue_first_is_normalised_in_this_order() -> None:
    images = torch.rand(2, 3, 4, 4)
    turned = Normaliser((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bgr")
    assert torch.equal(turned(images), Normaliser((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))(images[:, [2, 1, 0]]))
    assert torch.allclose(turned.inverse(turned(images)), images)


def test_a_network_for_grey_gets_it_in_three_channels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
    image, expected = (torch.from_numpy(each / 255).float().permute(2, 0, 1)[None] for each in (pixels, grey))
    statistics = ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    made = Normaliser(*statistics, "grey")(image)
    # Pillow rounds grey to whole numbers
    assert torch.allclose(made, Normaliser(*statistics)(expected), atol=1.01 / 255)
    with pytest.raises(UserError, match="--channel-order grey: grey images have no order of channels"):
        registry.load_dataset("digits").with_format(channel_order="grey")


@pytest.mark.parametrize("bits", [8, 16])
def test_images_can_be_read_as_they_are_stored(bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In runs, which are others then, and by ``predict`` with their student."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = (np.linspace(0, 255, 16 * 16).reshape(16, 16) * (1 if bits == 8 else 257)).astype(f"uint{bits}")
    for label in ("a", "b"):
        (tmp_path / "phone" / label).mkdir(parents=True)
        for index in range(10):
            Image.fromarray(stored).save(tmp_path / "phone" / label / f"{index}.png", exif=exif)
    names = {turned: str(tmp_path / f"{turned}.yaml") for turned in (True, False)}
    for turned, name in names.items():
        Path(name).write_text(f"domains: {{phone: phone}}\nexif_rotation: {str(turned).lower()}\n")
    usual = {"method": "dafl", "setting": "P", "budget": "smoke", "teacher": "test_resnet", "student": "test_resnet"}
    values = {**usual, "image_size": 16, "channels": 1, "device": "cpu"}
    plans = {turned: make_plan({**values, "dataset": name}, data_root=tmp_path) for turned, name in names.items()}
    assert len({plan.key for plan in plans.values()}) == len({plan.splits.digest for plan in plans.values()}) == 2
    plain = stored // (1 if bits == 8 else 257)
    for turned, expected in ((True, np.rot90(plain, -1)), (False, plain)):
        assert np.abs(plans[turned].splits.test.pixels[0, ..., 0] - expected.astype(int)).max() <= 1
    record = execute(plans[False], tmp_path / "runs", quiet)
    seen: list[np.ndarray] = []
    monkeypatch.setattr("okdbench.training.predict._best", lambda _, images, *__: seen.extend(images) or [[]] * 10)
    predict(record.key, [tmp_path / "phone" / "a"], None, 1, tmp_path / "runs", "cpu")
    assert np.array_equal(seen[0], plans[False].splits.test.pixels[0])


def test_no_key_changes_where_images_are_turned_as_ever(tmp_path: Path) -> None:
    (tmp_path / "phone" / "a").mkdir(parents=True)
    (file := tmp_path / "own.yaml").write_text("domains: {phone: phone}\n")
    assert "exif" not in registry.load_dataset(str(file)).extra_key


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_filter_scales_as_its_library_does(resize: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    sample = Sample("image.png", 0, tmp_path / "image.png")
    of_four = v2.functional.resize(torch.from_numpy(pixels).permute(2, 0, 1), [32, 32], antialias=False)
    found = decode(sample, ImageForm(32, resize=resize, interpolation="cv2")).astype(int)
    assert np.abs(found - of_four.permute(1, 2, 0).numpy()).max() <= 1
    for name in ("nearest", "bicubic"):
        expected = Image.fromarray(pixels).resize((32, 32), Image.Resampling[name.upper()])
        assert np.array_equal(decode(sample, ImageForm(32, resize=resize, interpolation=name)), expected)


def test_single_pixels_are_those_of_the_full_size(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save(tmp_path / "image.jpg", quality=95)
    whole = np.asarray(Image.open(tmp_path / "image.jpg").resize((32, 32), Image.Resampling.NEAREST))
    assert np.array_equal(
        decode(Sample("image.jpg", 0, tmp_path / "image.jpg"), ImageForm(32, interpolation="nearest")), whole
    )
