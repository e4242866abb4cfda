"""Counts the images that pass through each network, so that the cost of a method is measured and not self-reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

#: images per kind of pass, "forward", "backward" and "learned", and the number of optimiser steps, "updates"
Counts = dict[str, int]


class Meter:
    """Forward and backward images per network.

    A backward pass counts as *learned* when it happens inside :meth:`learning` of the same network. Student forwards
    that only carry a gradient to a generator therefore cost a backward pass, but are not training images of the
    student. A forward that is differentiated twice costs two backward passes, and its images are learned from once.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counts] = {}
        self._learner: nn.Module | None = None
        self._watched: dict[int, Counts] = {}

    def watch(self, role: str, module: nn.Module) -> None:
        """Count all passes through ``module`` under ``role`` from now on; repeating it for a module has no effect."""
        if id(module) in self._watched:
            return
        counts = self._counts.setdefault(role, {"forward": 0, "backward": 0, "learned": 0, "updates": 0})
        self._watched[id(module)] = counts

        def forward(called: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            # copy.deepcopy copies the hook as well; the copy's images belong to another role
            if called is not module:
                return
            unlearned = images = len(inputs[0])
            counts["forward"] += images

            def backward(_gradient: Tensor) -> None:
                nonlocal unlearned
                counts["backward"] += images
                if self._learner is module:
                    # a second backward through the same graph (Hessian-vector product) is no second training image
                    counts["learned"] += unlearned
                    unlearned = 0

            logits = output[0] if isinstance(output, tuple) else output
            # A tensor hook fires when this output's gradient is computed, even if only the inputs are differentiated.
            if isinstance(logits, Tensor) and logits.requires_grad:
                logits.register_hook(backward)  # type: ignore[no-untyped-call]

        module.register_forward_hook(forward)

    @contextmanager
    def learning(self, module: nn.Module) -> Iterator[None]:
        """Mark backward passes in this block as updates of ``module``."""
        self._learner = module
        try:
            yield
        finally:
            self._learner = None

    def count_update(self, module: nn.Module) -> None:
        """Count one optimiser step of ``module``, if it is watched."""
        if id(module) in self._watched:
            self._watched[id(module)]["updates"] += 1

    def learned(self, role: str) -> int:
        """Number of images that ``role`` has learned from."""
        return self._counts.get(role, {}).get("learned", 0)

    def total_learned(self) -> int:
        """Number of images that all networks together have learned from."""
        return sum(counts["learned"] for counts in self._counts.values())

    def traffic(self) -> dict[str, Counts]:
        """A copy of the counts so far, by role."""
        return {role: dict(counts) for role, counts in self._counts.items()}

    def state_dict(self) -> dict[str, Counts]:
        """The counts for a checkpoint, as plain types."""
        return self.traffic()

    def load_state_dict(self, state: dict[str, Counts]) -> None:
        """Continue counting from ``state``."""
        # in place: the hooks hold references to these dictionaries
        for role, counts in state.items():
            self._counts.setdefault(role, {}).update(counts)
