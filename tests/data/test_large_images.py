"""Images above Pillow's size limit are decoded without a warning; above twice the limit they are an error."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from PIL import Image
from support.digit_files import Folder

from okdbench.core.errors import UserError
from okdbench.data import Sample
from okdbench.data.cache import load_domain
from okdbench.data.decoding import decoding_error, decoding_pool

LIMIT = 1000


@pytest.fixture(autouse=True)
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", LIMIT)


def image_of(pixels: int, folder: Path) -> Path:
    file = folder / f"{pixels}.png"
    Image.new("RGB", (pixels // 10, 10), "red").save(file)
    return file


def test_the_limit_makes_pillow_warn(tmp_path: Path) -> None:
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(image_of(LIMIT + 10, tmp_path))


@pytest.mark.filterwarnings("error")
def test_an_image_above_the_limit_is_decoded_without_a_warning(tmp_path: Path, root: Path) -> None:
    file, before = image_of(2 * LIMIT, tmp_path), list(warnings.filters)
    images = load_domain(Folder([Sample("one", 0, file)]), "any", 8, root)
    assert (images.pixels[0] == (255, 0, 0)).all()
    assert warnings.filters == before
    with decoding_pool() as pool:
        assert list(pool.map(decoding_error, [file.read_bytes()])) == [""]


@pytest.mark.filterwarnings("error")
def test_an_image_above_twice_the_limit_is_an_error(tmp_path: Path, root: Path) -> None:
    file, before = image_of(2 * LIMIT + 10, tmp_path), list(warnings.filters)
    with pytest.raises(UserError, match=r"cannot read the image .* \(more than 2,000 pixels, make it smaller\)"):
        load_domain(Folder([Sample("one", 0, file)]), "any", 8, root)
    assert warnings.filters == before


def test_importing_leaves_the_warning_filters() -> None:
    code = (
        "import warnings, numpy, PIL.Image, filelock, rich.progress; before = list(warnings.filters); "
        "import okdbench.data.cache, okdbench.data.integrity; assert warnings.filters == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pools_in_many_threads_leave_the_warning_filters() -> None:
    before = list(warnings.filters)
    ready = threading.Barrier(8)

    def use() -> None:
        ready.wait()
        for _ in range(20):
            with decoding_pool() as pool:
                pool.submit(list).result()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
