"""AuG-KD's anchor network: moves a latent towards the teacher's domain, in dimensions that depend on the class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AnchorNet(nn.Module):
    """(z, y) -> anchor z_a = m * psi(m * z) + (1 - m) * z and mask m, each B x latent.

    Layers of AuG-KD's released code (74,052 parameters at 100 latent dimensions and 31 classes). The mask m(y) is
    sigmoid(BN(.)) in (0, 1); ``third_range`` restores the release's ReLU(softsign(sigmoid - 1/2)) in [0, 1/3).
    """

    def __init__(self, latent: int, classes: int, third_range: bool = False) -> None:
        super().__init__()
        self.classes, self.third_range = classes, third_range
        # mask branch: of the class alone; no non-linearity between the linear layers, as released
        self.label = nn.Linear(classes, latent)
        self.mask = nn.Sequential(*(nn.Linear(latent, latent) for _ in range(3)), nn.BatchNorm1d(latent))
        # psi branch: m * z as a sequence of length latent with one channel
        layers: list[nn.Module] = []
        for channels_in, channels_out in ((1, 4), (4, 8), (8, 4)):
            layers += [
                nn.Conv1d(channels_in, channels_out, 3, padding=1),
                nn.BatchNorm1d(channels_out),
                nn.LeakyReLU(0.01),
            ]
        self.psi = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * latent, latent))
        self.apply(_uniform)

    def forward(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Anchor and mask of the latents ``z`` (B x latent) with labels (B)."""
        mask = self.mask(self.label(F.one_hot(labels, self.classes).to(z.dtype))).sigmoid()
        if self.third_range:
            mask = F.softsign(mask - 0.5).relu()
        moved = self.psi((mask * z).unsqueeze(1))
        return mask * moved + (1 - mask) * z, mask


@torch.no_grad()
def _uniform(module: nn.Module) -> None:
    # The release means convolutions as well, but tests for Conv2d: its Conv1d layers keep PyTorch's defaults.
    if isinstance(module, nn.Linear):
        module.weight.uniform_(-0.08, 0.08)
        module.bias.zero_()
