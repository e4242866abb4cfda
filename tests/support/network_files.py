"""Python files that build a network, as people have them."""

from __future__ import annotations

from pathlib import Path

#: a class with a block, which needs arguments, and a view that only PyTorch's usual layout allows
NET = '''
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, 2, 1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    """Two blocks."""

    def __init__(self, num_classes=10, in_chans=1):
        super().__init__()
        self.first, self.second = Block(in_chans, 4), Block(4, 8)
        self.fc = nn.Linear(8 * 8 * 8, num_classes)

    def forward(self, x):
        x = self.second(self.first(x))
        return self.fc(x.view(x.size(0), -1))
'''
#: the same with another end: no linear layer gives the logits
COSINE = NET.replace("return self.fc(x.view(x.size(0), -1))", "return 5 * self.fc(x.flatten(1))")


def write_net(folder: Path, text: str = NET, name: str = "net.py") -> str:
    """Write a file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)
