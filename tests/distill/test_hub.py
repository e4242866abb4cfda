"""Networks and weights from the Hugging Face Hub: a small server stands for it, and then there is none."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save as to_safetensors
from support.error_text import refusal
from torch import Tensor

from okdbench.distill.networks import hub
from okdbench.distill.networks.classifiers import build_classifier, find_network

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for one repository."""

    files: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        content = self.files.get(self.path.rpartition("/")[2]) if self.path.startswith("/lab/net/resolve/") else None
        self.send_response(200 if content is not None or self.path == "/" else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body:
            self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def hub_with(files: dict[str, bytes]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hub,), {"files": files}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def built(name: str) -> tuple[str, dict[str, Tensor]]:
    network = find_network(name, pretrained=True)
    torch.manual_seed(0)
    return network.name, build_classifier(network, 7, 32, True).state_dict()


def test_a_network_of_the_hub_is_fetched_once_and_read_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    state = timm.create_model("test_resnet", num_classes=5).state_dict()
    described = {"num_classes": 5, "input_size": [3, 32, 32], "first_conv": "conv1.0", "classifier": "fc"}
    config = json.dumps({"architecture": "test_resnet", "pretrained_cfg": described}).encode()
    files = {"config.json": config, "model.safetensors": to_safetensors(state)}
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with hub_with(files) as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        name, fetched = built("hf-hub:lab/net")
        assert refusal(find_network, "hf-hub:lab/absent").startswith("hf-hub:lab/absent could not be fetched (")
        files["config.json"] = b'{"architectures": ["ResNetForImageClassification"]}'
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "other"))
        message = refusal(find_network, "hf-hub:lab/net")
        assert message == "hf-hub:lab/net is no network of timm: its config.json names no architecture"
    assert name == f"hf-hub:lab/net@{COMMIT}"
    assert torch.equal(fetched["conv1.0.weight"], state["conv1.0.weight"])
    assert fetched["fc.weight"].shape[0] == 7
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for spelling in ("hf-hub:lab/net", name):  # no server is there any more
        again, cached = built(spelling)
        assert again == name
        # the new last layer too, although the first attempt to build it had drawn it already
        assert all(torch.equal(cached[key], tensor) for key, tensor in fetched.items())


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_does_not_answer_is_waited_for_two_seconds(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    began = time.monotonic()
    message = refusal(find_network, "hf-hub:lab/net")
    assert time.monotonic() - began < 2
    assert message == (
        f"hf-hub:lab/net is not in the cache, and {silent.removeprefix('http://')} cannot be reached from here; "
        "name another network, or files of weights: --teacher-init, --student-weights"
    )
    assert not constants.HF_HUB_OFFLINE


def test_weights_elsewhere_are_asked_for_there(silent: str) -> None:
    began = time.monotonic()
    message = refusal(hub.fetched, lambda: pytest.fail("it must not be tried"), "net", f"{silent}/net.pth")
    assert time.monotonic() - began < 2
    assert "cannot be reached from here" in message
