"""A student as one file for other programs, checked against PyTorch before it takes its name."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from okdbench.core.errors import UserError, one_line, unknown
from okdbench.core.files import printable, write_atomic, writing
from okdbench.training.student import CARD, Student, load, pack, unpack

#: largest difference of a logit, as a share of the largest logit
TOLERANCE = 1e-4
#: pictures in the batches that are compared; two sizes show whether a file takes any
BATCHES = (1, 5)

Answer = Callable[[Tensor], Tensor]


class Format(NamedTuple):
    """How a student becomes bytes, and how these answer pictures afterwards."""

    ending: str
    write: Callable[[Student], bytes]
    read: Callable[[bytes], Answer]


def export(name: str, form: str, output: Path | None, runs: Path) -> Path:
    """Write the student called ``name`` (:func:`okdbench.training.student.load`) as a file and say what it is.

    Every format holds the student's card under the name ``okdbench``, as JSON. ONNX and TorchScript take raw pictures,
    N x 3 x S x S in [0, 1], and normalise them; safetensors holds the weights alone.

    Args:
        name: a run.
        form: safetensors, onnx or torchscript.
        output: the file; ``student-<key>`` with the usual ending in this folder by default.
        runs: folder of runs.

    Raises:
        UserError: there is no such student or format, or what was exported does not answer like the student.
    """
    if form not in EXPORT_FORMATS:
        raise unknown("format", form, EXPORT_FORMATS)
    student = load(name, runs)
    card = student.card
    path = output or Path(f"student-{card.key}{EXPORT_FORMATS[form].ending}")
    content = EXPORT_FORMATS[form].write(student)
    check(EXPORT_FORMATS[form].read(content), student)
    with writing(path, "--output"):
        write_atomic(path, content)
    size = f"{card.image_size} x {card.image_size}"
    origin = f"{card.architecture} of {card.method} {card.dataset} {card.setting}, {card.accuracy:.2f} %, {size}"
    print(f"{path}: {printable(origin)}")
    return path


@torch.no_grad()
def check(answer: Answer, student: Student) -> None:
    """Compare the logits of a few random pictures.

    Raises:
        UserError: they differ, or there are none.
    """
    rng = torch.Generator().manual_seed(0)
    for count in BATCHES:
        pictures = torch.rand(count, 3, student.card.image_size, student.card.image_size, generator=rng)
        expected = student.classifier(pictures)
        try:
            error = float((answer(pictures) - expected).abs().max() / expected.abs().max())
        except Exception as failure:  # each format has its own
            raise UserError(
                f"the exported file cannot be run ({one_line(failure)}); choose another format"
            ) from failure
        if not error <= TOLERANCE:  # NaN is no agreement either
            raise UserError(f"the exported file is off by {error:.1e} of the student's logits; choose another format")


def _read_safetensors(content: bytes) -> Answer:
    return unpack(content).classifier


def _pictures(student: Student) -> Tensor:
    """An example of what the student takes; one picture would be read as a fixed batch size."""
    return torch.zeros(2, 3, student.card.image_size, student.card.image_size)


def _write_onnx(student: Student) -> bytes:
    _need_onnx()
    try:
        program = torch.onnx.export(
            student.classifier,
            (_pictures(student),),
            dynamo=True,
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    except Exception as failure:  # networks fail in many ways, and all of them mean the same to the user
        what = student.card.architecture
        raise UserError(f"ONNX cannot hold a {what} ({one_line(failure)}); choose another format") from failure
    assert program is not None
    model = program.model_proto
    for part in (model.graph, *model.graph.node):
        del part.metadata_props[:]  # notes for debugging, with paths of this machine
    model.metadata_props.add(key=CARD, value=student.card.model_dump_json())
    content: bytes = model.SerializeToString()
    return content


def _read_onnx(content: bytes) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda pictures: torch.from_numpy(session.run(None, {"pictures": pictures.numpy()})[0])


def _need_onnx() -> None:
    """Raise UserError unless the libraries of the extra ``export`` are there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is missing; pip install onnx onnxscript onnxruntime") from error


def _write_torchscript(student: Student) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # it is deprecated, but what some people deploy
        traced = torch.jit.trace(student.classifier, _pictures(student))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file, _extra_files={CARD: student.card.model_dump_json()})
    return file.getvalue()


def _read_torchscript(content: bytes) -> Answer:
    with warnings.catch_warnings(action="ignore"):
        answer: Answer = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
    return answer


EXPORT_FORMATS = {
    "safetensors": Format(".safetensors", lambda s: pack(s.classifier.net.state_dict(), s.card), _read_safetensors),
    "onnx": Format(".onnx", _write_onnx, _read_onnx),
    "torchscript": Format(".pt", _write_torchscript, _read_torchscript),
}
