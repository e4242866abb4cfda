"""The kinds of files that a student is exported as."""

from __future__ import annotations

#: format -> usual ending of its files
ENDINGS = {"safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt"}
