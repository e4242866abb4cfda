"""Text embeddings of the names of classes; those of the bundled data sets come along in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from okdbench.core.errors import UserError, os_reason
from okdbench.core.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

#: made by ``okdbench data embed digits mnist ... --output okdbench/data/class_embeddings.safetensors``
SHIPPED = Path(__file__).with_suffix(".safetensors")
TENSOR = "embeddings"
#: the encoder of :func:`encode`, as the files name it
ENCODER = "wordllama l2_supercat 256"


def read_embeddings(file: Path, classes: Sequence[str]) -> Floats | None:
    """The embedding of each class, C x E, in the order of ``classes``; None where the bundled file lacks one of them.

    Raises:
        UserError: the file cannot be read, has another form, or is a user's own and lacks a class.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as content:
            names = json.loads((content.metadata() or {})["names"])
            vectors: Floats = content.get_tensor(TENSOR).astype("float32")
    except OSError as error:
        raise UserError(f"cannot read {file}: {os_reason(error)}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{file} is no file of class embeddings; okdbench data embed writes one") from error
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise UserError(f"{file} has {len(names)} names and embeddings of shape {vectors.shape}; write it again")
    rows = {name: index for index, name in enumerate(names)}
    if absent := [name for name in classes if name not in rows]:
        if file == SHIPPED:
            return None
        raise UserError(f"{file} has no embedding of class {absent[0]!r}; write it again with okdbench data embed")
    return vectors[[rows[name] for name in classes]]


def write_embeddings(file: Path, names: Sequence[str], vectors: Floats, encoder: str) -> None:
    """Write the embeddings (N x E) of these names, in half precision."""
    from safetensors.numpy import save

    described = {"names": json.dumps(list(names)), "encoder": encoder}
    write_atomic(file, save({TENSOR: vectors.astype("float16")}, described))


def encode(names: Sequence[str]) -> Floats:
    """Unit embeddings of the names, N x 256: the mean of the vectors of their words and parts of words.

    Raises:
        UserError: the library is not installed.
    """
    try:
        import wordllama
    except ImportError as error:
        raise UserError("text embeddings need another library: pip install 'okdbench[text]'") from error
    # The weights are in the package, which looks for them in a folder of another name.
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    made: Floats = model.embed([name.replace("_", " ") for name in names], norm=True)
    return made
