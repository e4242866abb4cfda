"""Networks and weights that timm fetches: from the cache at once, and else only from a server that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TypeVar

import requests
import timm
import torch
from huggingface_hub import constants, hf_hub_download

from okdbench.core.errors import UserError, one_line
from okdbench.core.network_names import HUB
from okdbench.distill.networks.user_networks import Network

Result = TypeVar("Result")

#: seconds in which a server must answer; without a network, looking up its name alone may take a minute
SECONDS = 1.5


def hub_network(name: str) -> Network:
    """The network of a name such as ``hf-hub:timm/resnet18.a1_in1k``, at the revision in the cache or the latest.

    Raises:
        UserError: its description cannot be fetched, or is not that of a network of timm.
    """
    repository, _, revision = name.removeprefix(HUB).partition("@")
    described = fetched(lambda: hf_hub_download(repository, "config.json", revision=revision or None), name)
    # .../snapshots/<commit>/config.json: the commit is named from now on, so that the weights are of it, too
    pinned = f"{repository}@{Path(described).parent.name}"
    try:
        _, architecture, _ = timm.models.load_model_config_from_hf(pinned)
    except (KeyError, ValueError) as error:
        raise UserError(f"{name} is no network of timm: its config.json names no architecture") from error
    if not timm.is_model(architecture):
        raise UserError(f"{name} is a {str(architecture)[:40]!r}, which timm does not know; choose another network")
    return Network(HUB + pinned)


def fetched(action: Callable[[], Result], what: str, url: str = "") -> Result:
    """What ``action`` returns with the files of the cache, or else with files that it fetches.

    Args:
        action: uses files of the Hugging Face Hub; the random numbers that it draws are the same in both cases.
        what: what is fetched, for messages.
        url: where it is fetched from if that is not the hub.

    Raises:
        UserError: the files are not in the cache, and the server has not answered in time, or refuses.
    """
    state = torch.get_rng_state()
    if not url:
        try:
            with _offline():
                return action()
        except OSError:
            torch.set_rng_state(state)
    server = url or constants.ENDPOINT
    cure = "name another network, or files of weights: --teacher-init, --student-weights"
    if constants.HF_HUB_OFFLINE or not _answers(server):
        host = server.split("/")[2]
        raise UserError(f"{what} is not in the cache, and {host} cannot be reached from here; {cure}")
    try:
        return action()
    except OSError as error:
        raise UserError(f"{what} could not be fetched ({one_line(error)}); {cure}") from error


@contextmanager
def _offline() -> Iterator[None]:
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(url: str) -> bool:
    answers: list[requests.Response] = []

    def ask() -> None:
        try:
            answers.append(requests.head(url, timeout=SECONDS))
        except requests.RequestException:
            return

    # in a thread, because no timeout of requests covers the look-up of a name
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return bool(answers)
