"""What a file is, told by its first bytes and not by its name, if it is no file of weights that PyTorch reads."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from okdbench.core.errors import UserError

_UNPACK = "unpack it and name the file of weights in it"
_JAX = "save them as a state dict of the PyTorch network"

#: beginning of a file -> what it is
_BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run git lfs pull",
    b"\x89HDF": "an HDF5 file of Keras: export it to PyTorch first",
    b"\x08": "an ONNX file: give the PyTorch weights that it was exported from",
    b"\x1f\x8b": f"compressed by gzip: {_UNPACK}",
    b"BZh": f"compressed by bzip2: {_UNPACK}",
    b"\xfd7zXZ": f"compressed by xz: {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed by zstd: {_UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive: {_UNPACK}",
    b"Rar!": f"a RAR archive: {_UNPACK}",
    b"\x93NUMPY": f"one array of NumPy: {_JAX}",
    b"GGUF": "a quantised GGUF file: give the PyTorch weights that it was made of",
    b"ftypGGUF": "a quantised GGUF file: give the PyTorch weights that it was made of",
}
#: pattern of a name in a zip archive -> what the archive is; the first that is found
_MEMBERS = {
    r"(^|/)constants\.pkl$": "a TorchScript file: save net.state_dict() of the network that it was made of",
    r"(^|/)(archive_format|serialized_exported_program\.json)$": "a file of torch.export: save net.state_dict() of the "
    "network that it was made of",
    r"(^|/)data\.pkl$": "",
    r"\.weights\.h5$": "a file of Keras: export it to PyTorch first",
    r"\.npy$": f"an archive of NumPy's arrays, as JAX has them: {_JAX}",
    "": f"a zip archive: {_UNPACK}",
}
#: a file in a folder -> what is to be done
_IN_FOLDERS = {
    "*.index.json": "its weights are in several files: join them with load_state_dict() and torch.save()",
    "model.safetensors": "name model.safetensors in it",
    "pytorch_model.bin": "name pytorch_model.bin in it",
    ".metadata": "a distributed checkpoint: join it with dcp_to_torch_save() of torch.distributed.checkpoint",
    "saved_model.pb": "a model of TensorFlow: export it to PyTorch first",
}


def refuse_other_places(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        UserError: it is not.
    """
    if path.is_dir():
        cures = (text for name, text in _IN_FOLDERS.items() if any(path.glob(name)))
        raise UserError(f"{path} is a folder: {next(cures, 'name the file of weights in it')}")
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist; give a .safetensors or a state-dict file")


def other_kind(content: bytes) -> str:
    """What a file is, with what to do about it, if it cannot hold weights that are read here; otherwise empty."""
    if not content:
        return "empty: it was not copied or downloaded completely"
    if is_safetensors(content):
        return ""
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the download needs a login, or its address is wrong"
    if start.startswith(b"{"):
        lists = b'"weight_map"' in content
        return "a list of several files of weights: join them" if lists else "a text in JSON: name the file of weights"
    for beginning, kind in _BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    if content[4:8] == b"TFL3":
        return "a file of TensorFlow Lite: give the PyTorch weights that it was made of"
    if content[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if content.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(io.BytesIO(content)):
        return "an incomplete copy: copy or download it again"
    return _kind_of_zip(content) if zipfile.is_zipfile(io.BytesIO(content)) else ""


def is_safetensors(content: bytes) -> bool:
    """Whether it begins with eight bytes of length, then JSON."""
    size = int.from_bytes(content[:8], "little")
    return 2 <= size <= len(content) - 8 and content[8:9] == b"{"


def _kind_of_zip(content: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    return next(kind for pattern, kind in _MEMBERS.items() if any(re.search(pattern, name) for name in [*names, ""]))
