"""A student as one file for other programs, compared with PyTorch before it is written."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from okdbench.core.errors import UserError, one_line, unknown
from okdbench.core.export_formats import ENDINGS
from okdbench.core.files import printable, write_atomic, writing
from okdbench.training.student import CARD, Student, pack, unpack
from okdbench.training.student_lookup import load

#: largest allowed difference of a logit, as a share of the largest logit
TOLERANCE = 1e-4
#: sizes of the batches that are compared; two sizes show whether a file takes any
BATCHES = (1, 5)

Classifier = Callable[[Tensor], Tensor]


class Format(NamedTuple):
    """One format of exported files.

    Attributes:
        write: student -> content of the file.
        read: content of the file, and the user's own network -> images to logits.
    """

    write: Callable[[Student], bytes]
    read: Callable[[bytes, str], Classifier]


def export(name: str, form: str, output: Path | None, runs: Path, network: str = "", replace: bool = False) -> Path:
    """Write the student called ``name`` as a file and print what it is.

    Every format contains the student's card under the name ``okdbench``, as JSON. ONNX and TorchScript take images,
    N x C x S x S in [0, 1], and normalise them; safetensors contains the weights alone.

    Args:
        name: a run, as of :func:`okdbench.training.student_lookup.load`.
        form: safetensors, onnx or torchscript.
        output: the file; by default ``student-<key>`` with the usual ending, in the working directory.
        runs: folder of runs.
        network: the user's own network that the student is of.
        replace: whether an output that exists may be replaced.

    Raises:
        UserError: there is no such student or format, the output exists or has the ending of another format, or the
            exported file differs from the student.
    """
    if form not in EXPORT_FORMATS:
        raise unknown("format", form, EXPORT_FORMATS)
    if output:
        _refuse_ending(output, form)
    student = load(name, runs, network)
    card = student.card
    path = output or Path(f"student-{card.key}{ENDINGS[form]}")
    if path.is_file() and not replace:
        raise UserError(f"{path} exists; choose another --output, or replace it with --force")
    content = EXPORT_FORMATS[form].write(student)
    check(EXPORT_FORMATS[form].read(content, network), student)
    with writing(path, "--output"):
        write_atomic(path, content)
    size = f"{card.image_size} x {card.image_size}"
    origin = f"{card.architecture} of {card.method} {card.dataset} {card.setting}, {card.accuracy:.2f} %, {size}"
    # the card may be someone else's
    print(f"{path}: {printable(origin)}")
    return path


def _refuse_ending(output: Path, form: str) -> None:
    """Refuse a name that says another format than the file has."""
    ending = ENDINGS[form]
    if output.suffix != ending and output.suffix in ENDINGS.values():
        raise UserError(f"--output {output} is no name for --format {form}; write {output.with_suffix(ending)}")


@torch.no_grad()
def check(exported: Classifier, student: Student) -> None:
    """Compare the logits of a few random images.

    Raises:
        UserError: they differ, or there are none.
    """
    rng = torch.Generator().manual_seed(0)
    for count in BATCHES:
        images = torch.rand(count, *_shape(student), generator=rng)
        expected = student.classifier(images)
        try:
            error = float((exported(images) - expected).abs().max() / expected.abs().max())
        except Exception as failure:  # each runtime has its own exceptions
            raise UserError(
                f"the exported file cannot be run ({one_line(failure)}); choose another format"
            ) from failure
        if not error <= TOLERANCE:  # also when it is NaN
            raise UserError(f"the exported file is off by {error:.1e} of the student's logits; choose another format")


def _read_safetensors(content: bytes, network: str) -> Classifier:
    return unpack(content, network=network).classifier


def _example(student: Student) -> Tensor:
    """An example input. It has two images, because a batch of one would be exported as a fixed batch size."""
    return torch.zeros(2, *_shape(student))


def _shape(student: Student) -> tuple[int, int, int]:
    """Channels, height and width of an image."""
    return len(student.card.mean), student.card.image_size, student.card.image_size


def _write_onnx(student: Student) -> bytes:
    _require_onnx()
    try:
        program = torch.onnx.export(
            student.classifier,
            (_example(student),),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    except Exception as failure:  # networks fail in many ways, and all of them mean the same to the user
        what = student.card.architecture
        raise UserError(f"ONNX cannot express a {what} ({one_line(failure)}); choose another format") from failure
    assert program is not None
    model = program.model_proto
    # debugging notes of the exporter, which contain paths of this machine
    for part in (model.graph, *model.graph.node):
        del part.metadata_props[:]
    model.metadata_props.add(key=CARD, value=student.card.model_dump_json())
    content: bytes = model.SerializeToString()
    return content


def _read_onnx(content: bytes, _network: str) -> Classifier:
    import onnxruntime

    # on the CPU, as the student whose logits it is compared with
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _require_onnx() -> None:
    """Raise UserError unless the libraries of the extra ``export`` are installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is missing; pip install onnx onnxscript onnxruntime") from error


def _write_torchscript(student: Student) -> bytes:
    file = io.BytesIO()
    # TorchScript is deprecated and warns, but still deployed
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(student.classifier, _example(student))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file, _extra_files={CARD: student.card.model_dump_json()})
    return file.getvalue()


def _read_torchscript(content: bytes, _network: str) -> Classifier:
    with warnings.catch_warnings(action="ignore"):
        exported: Classifier = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
    return exported


EXPORT_FORMATS = {
    "safetensors": Format(lambda s: pack(s.classifier.net.state_dict(), s.card), _read_safetensors),
    "onnx": Format(_write_onnx, _read_onnx),
    "torchscript": Format(_write_torchscript, _read_torchscript),
}
