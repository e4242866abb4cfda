"""Data sets that are published as arrays: every common form is read, and a bad file is refused and executes nothing."""

from __future__ import annotations

import gzip
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import md5
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from support import datastore
from support.dataset_trees import SHARED, registered
from support.pickle_bomb import Bomb
from support.published_arrays import COUNT, LABELS, Bytes, batch, cifar10, idx, mnist, svhn, usps
from torchvision import datasets as torchvision_sets

from okdbench import registry
from okdbench.core.errors import UserError
from okdbench.data import Remote
from okdbench.data.splits import assemble
from okdbench.data.unpacked import unpacked_folders

NAMES = ("mnist", "cifar10", "cifar100")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Three images of each class are the official number."""
    if "real" in request.node.name:
        return
    for name in NAMES:
        kind = type(registry.load_dataset(name))
        counts = {
            domain: {label: 10 * COUNT if label == "" else COUNT for label in by} for domain, by in kind.counts.items()
        }
        monkeypatch.setattr(kind, "counts", counts)


def pixels_of(name: str, domain: str, root: Path) -> tuple[Bytes, list[int]]:
    """The registered images and labels, in the order of the arrays."""
    samples = sorted(registry.load_dataset(name).samples(domain, root), key=lambda sample: Path(sample.path).name)
    return np.stack([np.asarray(Image.open(sample.source)) for sample in samples]), [s.label for s in samples]


def check(name: str, domain: str, root: Path, expected: Bytes, labels: list[int] | None = None) -> None:
    found, classes = pixels_of(name, domain, root)
    assert np.array_equal(found, expected)
    assert classes == (LABELS.tolist() if labels is None else labels)


def test_mnist_and_fashion_mnist_are_told_apart_by_their_folders(tmp_path: Path, root: Path) -> None:
    names = ("MNIST", "FashionMNIST", "KMNIST", "EMNIST")
    digits, clothes, *_ = (mnist(tmp_path / name / "raw", seed=seed) for seed, name in enumerate(names))
    test, *_ = (mnist(tmp_path / name / "raw", "t10k", seed=seed) for seed, name in enumerate(names, 4))
    datastore.add("mnist", tmp_path, root)
    check("mnist", "mnist", root, digits)
    check("mnist", "mnist_test", root, test)
    check("mnist", "fashionmnist", root, clothes, [-1] * 30)
    with pytest.raises(UserError, match="has no domain of mnist"):
        datastore.add("mnist", tmp_path / "KMNIST", root)


def test_a_domain_that_is_there_twice_is_not_guessed(tmp_path: Path, root: Path) -> None:
    for name in ("one", "other"):
        mnist(tmp_path / name)
    with pytest.raises(UserError, match=r"mnist is in .*one and in .*other; name the folder that you mean"):
        datastore.add("mnist", tmp_path, root)


def test_files_may_be_uncompressed_or_spelled_otherwise_and_anywhere(tmp_path: Path, root: Path) -> None:
    digits = mnist(tmp_path)
    for file in list(tmp_path.glob("*.gz")):
        (tmp_path / file.stem.replace("-idx", ".idx")).write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    datastore.add("mnist", tmp_path, root)
    check("mnist", "mnist", root, digits)


def test_a_domain_can_be_named(tmp_path: Path, root: Path) -> None:
    clothes = mnist(tmp_path / "data")
    datastore.add("mnist", tmp_path / "data", root, domain="fashionmnist")
    assert registered(root, "mnist") == {"fashionmnist": 30}
    check("mnist", "fashionmnist", root, clothes, [-1] * 30)
    with pytest.raises(UserError, match="mnist has no domain 'fashion'; known: mnist, mnist_test"):
        datastore.add("mnist", tmp_path / "data", root, domain="fashion")


def test_one_file_that_is_a_whole_domain_can_be_named(tmp_path: Path, root: Path) -> None:
    expected = usps(tmp_path)
    mnist(tmp_path)
    datastore.add("mnist", tmp_path / "usps.bz2", root)
    assert registered(root, "mnist") == {"usps": 30}
    check("mnist", "usps", root, expected)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz is one of several files; put all of a domain"):
        datastore.add("mnist", tmp_path / "train-images-idx3-ubyte.gz", root)


def test_svhn_is_read_with_and_without_its_labels(tmp_path: Path, root: Path) -> None:
    expected = svhn(tmp_path)
    datastore.add("mnist", tmp_path, root)
    datastore.add("cifar10", tmp_path, root)
    check("mnist", "svhn", root, expected)
    check("cifar10", "svhn", root, expected, [-1] * 30)


@pytest.mark.parametrize("order", ["C", "F"])
def test_cifar10_is_read_from_its_archive(tmp_path: Path, root: Path, order: Literal["C", "F"]) -> None:
    archive, expected = cifar10(tmp_path, order)
    datastore.add("cifar10", archive, root)
    datastore.add("cifar100", archive, root)
    check("cifar10", "cifar10", root, expected)
    check("cifar10", "cifar10_test", root, expected)
    assert registered(root, "cifar100") == {"cifar10": 30}
    assert [path.name for path in (root / "images" / "cifar10").iterdir()] == ["arrays"], "the archive's files are gone"


def test_fine_labels_are_the_classes_of_cifar100(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = registry.load_dataset("cifar100")
    first = {name: COUNT * (index < 10) for index, name in enumerate(dataset.classes)}
    monkeypatch.setattr(type(dataset), "counts", {**dataset.counts, "cifar100": first})
    rows = np.arange(30, dtype=np.uint8)[:, None].repeat(3072, 1)
    content = {b"data": rows, b"fine_labels": LABELS.tolist(), b"coarse_labels": [0] * 30}
    batch(tmp_path / "train", content)
    datastore.add("cifar100", tmp_path, root, accept_differences=True)
    check("cifar100", "cifar100", root, rows.reshape(30, 3, 32, 32).transpose(0, 2, 3, 1))


def test_any_folder_is_a_domain_to_transfer_from(tmp_path: Path, root: Path) -> None:
    archive, pixels = cifar10(tmp_path / "cifar")
    datastore.add("cifar10", archive, root)
    for index, image in enumerate(pixels):
        (folder := tmp_path / "photos" / str(index % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")
    datastore.add("cifar10", tmp_path / "photos", root, domain="own")
    dataset = registry.load_dataset("cifar10")
    splits = assemble(dataset, dataset.setting("C@O"), 32, root)
    assert set(splits.train.labels) == {-1}
    assert len(splits.train) == 30, "no image is kept for a test that nobody makes"
    assert (len(splits.teacher_train), len(splits.teacher_test)) == (30, 30)
    datastore.check("cifar10", root)


@pytest.mark.parametrize("packed", [False, True])
def test_folders_of_images_beside_files_of_arrays_are_registered_too(packed: bool, tmp_path: Path, root: Path) -> None:
    _, pixels = cifar10(tmp_path / "all")
    (tmp_path / "all" / "places365").mkdir()
    Image.fromarray(pixels[0]).save(tmp_path / "all" / "places365" / "one.png")
    (tmp_path / "all" / "cifar-10-python.tar.gz").unlink()
    copy = Path(shutil.make_archive(str(tmp_path / "copy"), "zip", tmp_path / "all")) if packed else tmp_path / "all"
    datastore.add("cifar10", copy, root)
    assert registered(root, "cifar10") == {"cifar10": 30, "cifar10_test": 30, "places365": 1}
    assert len(registry.load_dataset("cifar10").samples("places365", root)) == 1


def truncated(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1]))


def cut_off(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-100])


def damaged(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte.gz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def swapped(folder: Path) -> None:
    one, other = sorted(folder.iterdir())
    one.rename(folder / "kept")
    other.rename(one)
    (folder / "kept").rename(other)


def one_image_less(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(idx(np.zeros((29, 28, 28), np.uint8))))


def another_label(folder: Path) -> None:
    labels = np.full(30, 12, np.uint8)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


def a_web_page(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"<html>404</html>")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (truncated, r"train-images-idx3-ubyte\.gz cannot be read \(it has another length than it says.*download it"),
        (cut_off, r"train-images-idx3-ubyte\.gz cannot be read \(.*download it again"),
        (damaged, r"train-images-idx3-ubyte\.gz cannot be read \(.*download it again"),
        (a_web_page, r"train-images-idx3-ubyte\.gz cannot be read \(Not a gzipped file.*download it again"),
        (swapped, r"train-images-idx3-ubyte\.gz holds an array of labels; images and labels may be swapped"),
        (another_label, r"labels from 12 to 12 for 10 classes"),
        (one_image_less, r"29 images and 30 labels; bring both files of one part"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_left(
    change: Callable[[Path], None], message: str, tmp_path: Path, root: Path
) -> None:
    mnist(tmp_path / "raw")
    change(tmp_path / "raw")
    with pytest.raises(UserError, match=message):
        datastore.add("mnist", tmp_path / "raw", root)
    assert registered(root, "mnist") == {}
    assert unpacked_folders("mnist", root) == []


def test_the_test_files_in_the_place_of_the_training_files_are_noticed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(registry.load_dataset("mnist"))
    official = {label: COUNT + int(label) for label in kind.classes}
    monkeypatch.setattr(kind, "counts", {**kind.counts, "mnist": official})
    mnist(tmp_path)
    with pytest.raises(UserError, match="nothing is registered, because this differs from the official images"):
        datastore.add("mnist", tmp_path, root)


def test_code_in_a_pickle_is_not_executed(tmp_path: Path, root: Path) -> None:
    cifar10(tmp_path)
    folder, target = tmp_path / "cifar-10-batches-py", tmp_path / "executed"
    batch(folder / "data_batch_3", {b"data": Bomb(target), b"labels": []})
    with pytest.raises(UserError, match=r"data_batch_3 cannot be read \(it calls \w+\.system, and nothing in it is ex"):
        datastore.add("cifar10", folder, root)
    assert not target.exists()
    assert registered(root, "cifar10") == {}


def test_an_array_whose_description_points_into_the_memory_is_refused(tmp_path: Path, root: Path) -> None:
    """As numpy reads it, the first number would be an address."""
    cifar10(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    hostile = b"".join([
        b"\x80\x02}(U\x04data", b"cnumpy\nndarray\n(K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R",
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08AAAAAAAAtR", b"U\x06labels](K\x00eu.",
    ])  # fmt: skip
    (folder / "data_batch_2").write_bytes(hostile)
    with pytest.raises(UserError, match=r"data_batch_2 cannot be read"):
        datastore.add("cifar10", folder, root)


@pytest.mark.parametrize("content", [{}, {"X": np.zeros((32, 32, 3, 30), np.float32), "y": np.ones((30, 1))}])
def test_a_matlab_file_of_something_else_is_refused(content: dict[str, Bytes], tmp_path: Path, root: Path) -> None:
    savemat(tmp_path / "train_32x32.mat", content)
    with pytest.raises(UserError, match=r"train_32x32\.mat.*download it again"):
        datastore.add("mnist", tmp_path, root)


def test_the_sources_are_those_of_torchvision() -> None:
    """Name of the file and its domain -> URLs and hash, here and there."""
    remotes = [remote for name in NAMES for remote in registry.load_dataset(name).remotes]
    listed: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {}
    for domain, idx_set in (("mnist", torchvision_sets.MNIST), ("fashionmnist", torchvision_sets.FashionMNIST)):
        for file, known in idx_set.resources:
            part = domain if file.startswith("train") else f"{domain}_test"
            listed[file, part] = (tuple(mirror + file for mirror in idx_set.mirrors), known)
    for domain, archive in (("cifar10", torchvision_sets.CIFAR10), ("cifar100", torchvision_sets.CIFAR100)):
        listed[archive.filename, domain] = ((archive.url,), archive.tgz_md5)
    for domain, single in (("svhn", torchvision_sets.SVHN), ("usps", torchvision_sets.USPS)):
        for part, ending in (("train", ""), ("test", "_test")):
            url, file, known = single.split_list[part][:3]
            listed[file, domain + ending] = ((url,), known)
    assert {(r.name, r.domains[0]): (r.urls, r.md5) for r in remotes}.items() <= listed.items()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves ``tmp_path / "served"``."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_domain_of_two_files_is_downloaded(
    server: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clothes = mnist(tmp_path / "served")
    files = sorted((tmp_path / "served").iterdir())
    remotes = tuple(
        Remote(f.name, (f"{server}/{f.name}",), md5=md5(f.read_bytes()).hexdigest(), domains=("fashionmnist",))
        for f in files
    )
    monkeypatch.setattr(type(registry.load_dataset("mnist")), "remotes", remotes)
    datastore.download("mnist", [], root)
    check("mnist", "fashionmnist", root, clothes, [-1] * 30)
    shutil.rmtree(tmp_path / "served")
    datastore.download("mnist", [], root)
    assert "is registered already" in capsys.readouterr().out


def test_a_download_with_another_hash_is_refused(
    server: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served").mkdir()
    usps(tmp_path / "served")
    remote = Remote("usps.bz2", (f"{server}/usps.bz2",), md5="0" * 32, domains=("usps",))
    monkeypatch.setattr(type(registry.load_dataset("mnist")), "remotes", (remote,))
    with pytest.raises(UserError, match=r"its MD5 differs"):
        datastore.download("mnist", [], root)


@pytest.mark.slow  # 70,000 files: half a minute
@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not on this machine")
def test_the_real_mnist_is_registered_without_a_difference(root: Path) -> None:
    datastore.add("mnist", SHARED / "mnist", root)
    assert registered(root, "mnist") == {"mnist": 60_000, "mnist_test": 10_000}
