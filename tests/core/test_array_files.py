"""Arrays in a file come back as they were, and whatever is wrong with the file is one kind of error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from okdbench.core.array_files import read_arrays, write_arrays


def test_arrays_come_back_in_their_order(tmp_path: Path) -> None:
    arrays = {"b": np.arange(3), "a": np.array(["x", "yy"]), "empty": np.empty((0, 2))}
    write_arrays(tmp_path / "some.npz", arrays)
    found = read_arrays(tmp_path / "some.npz")
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


def test_a_change_of_any_byte_is_harmless_or_one_kind_of_error(tmp_path: Path) -> None:
    file = tmp_path / "some.npz"
    write_arrays(file, {"pixels": np.arange(48).reshape(4, 4, 3)})
    content, refused = file.read_bytes(), 0
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            found = read_arrays(file)
        except ValueError:
            refused += 1
        else:
            assert all(np.array_equal(array, np.arange(48).reshape(4, 4, 3)) for array in found.values())
    assert refused > len(content) / 2


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_no_file_and_no_archive_are_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_arrays(tmp_path / "some.npz")
    np.save(tmp_path / "single.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"."):
        read_arrays(tmp_path / "single.npy")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", thing=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        read_arrays(tmp_path / "some.npz")
