"""A Python file as a network: which part of it is meant, what it is given, and what is said of one that does not do."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from support.error_text import refusal
from support.network_files import COSINE, NET, write_net
from torch import nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.classifiers import build_classifier, find_network
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser

pytestmark = pytest.mark.usefixtures("seeded")

BUILD = "\n\ndef build(num_classes, in_chans):\n    return "
FACTORY = NET + "\n\ndef tiny():\n    return Net(7, 3)\n"
#: the files in which one network is meant, and how it is named there
MEANT = {
    "the only class that can be called": (NET, ""),
    "build before all others": (FACTORY + "\n\ndef build(classes, channels):\n    return Net(classes, channels)\n", ""),
    "by name": (FACTORY, ":tiny"),
    "a class by name": (FACTORY, ":Net"),
    "the only function": (FACTORY.replace("in_chans=1)", "in_chans=1, *, wide)").replace("7, 3", "7, 3, wide=1"), ""),
    "every argument": (
        NET + "\n\ndef build(num_classes, in_chans, image_size):\n    assert image_size == 32\n"
        "    return Net(num_classes, in_chans)\n", ""
    ),
    "a network of timm": (
        f"import timm\n{BUILD}timm.create_model('test_resnet', num_classes=num_classes, in_chans=in_chans)\n", ""
    ),
    "a dictionary": (NET.replace("return self.fc(x.view(x.size(0), -1))",
                                 "return {'logits': self.fc(x.flatten(1)), 'features': x}"), ""),
    "a tuple": (NET.replace("return self.fc(x.view(x.size(0), -1))", "return self.fc(x.flatten(1)), x"), ""),
    "in half precision": (f"{NET}{BUILD}Net(num_classes, in_chans).half()\n", ""),
    "lazy": (NET.replace("nn.Linear(8 * 8 * 8,", "nn.LazyLinear("), ""),
    "parallel": (f"{NET}{BUILD}nn.DataParallel(Net(num_classes, in_chans))\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANT)
def test_the_network_that_is_meant_is_built(case: str, tmp_path: Path) -> None:
    text, name = MEANT[case]
    net = build_classifier(write_net(tmp_path, text) + name, 7, 32)
    assert net.training
    images = torch.rand(4, 3, 32, 32).to(memory_format=torch.channels_last)
    # as methods treat a student, and as the loader gives images
    copied = copy.deepcopy(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    logits = copied.eval()(images)
    assert logits.shape == (4, 7)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, net.eval()(images))


ALONE = "gives an image other logits alone than in a batch; in eval mode, use no dropout"
REFUSED = {
    "two classes": (NET.replace("channels_in, channels_out)", "channels_in=1, channels_out=1)"),
                    "which network is meant? There are Block, Net; name one, such as"),
    "none": ("x = 1\n", "none that can be called without further arguments; write a function build()"),
    "an unknown argument": (NET + "\n\ndef build(depth):\n    return Net()\n", "build needs 'depth', which okdbench"),
    "no module": (NET + "\n\ndef build():\n    return Net().state_dict()\n", "build returns a OrderedDict; return a"),
    "a mistake": (NET + "\n\ndef build():\n    return Net(no=1)\n", ":30: TypeError: Net.__init__() got an unexpected"),
    "a fixed number of classes": (f"{NET}{BUILD}Net(5, 3)\n", "gives 2 x 5 numbers for 2 images, and the data"),
    "probabilities": (NET.replace("return self.fc(x.view(x.size(0), -1))", "return self.fc(x.flatten(1)).softmax(1)"),
                      "gives probabilities; return the logits"),
    "other channels": (NET + "\n\ndef build(num_classes):\n    return Net(num_classes)\n",
                       "does not accept images of 3 x 32 x 32 (Given groups=1"),
    "feature maps": (NET.replace("return self.fc(x.view(x.size(0), -1))", "return x"), "gives 2 x 8 x 8 x 8 numbers"),
    "dropout in eval mode": (NET.replace("self.fc(x.view", "self.fc(nn.functional.dropout(x).view"), ALONE),
    "statistics of the batch": (NET.replace("self.fc(x.view", "self.fc((x - x.mean(0)).view"), ALONE),
    "no dimension of the batch": (NET.replace("-1))", "-1)).squeeze()"), ALONE),
    "no gradients": (NET.replace("self.fc(x.view", "self.fc(x.detach().view"),
                     "gives no gradients to images; take torch.no_grad() and detach() out"),
    "scripted": (f"{NET}{BUILD}torch.jit.script(Net(num_classes, in_chans))\n", "builds a traced or scripted net"),
    "images": ("from okdbench.data.loader import Stream\n" + NET, ":1: it imports okdbench.data.loader.Stream; of"),
    "what lies beside it": ("import other\n" + NET, ":1: it imports other from the file's folder"),
    "a syntax error": ("def build(:\n", "net.py:1: SyntaxError"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*jit.*")
@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_do_is_refused_with_the_cure(case: str, tmp_path: Path) -> None:
    text, complaint = REFUSED[case]
    write_net(tmp_path, name="other.py")
    message = refusal(build_classifier, path := write_net(tmp_path, text), 7, 32)
    assert message.startswith(path)
    assert complaint in message, message


def test_unknown_names_get_a_short_line(tmp_path: Path) -> None:
    assert "no such file or directory" in refusal(find_network, "./wrn.py")
    assert refusal(find_network, write_net(tmp_path) + ":net").endswith("did you mean 'Net'?")
    assert "net.py:x" in refusal(find_network, "net.py:x:y")
    assert len(refusal(find_network, "./wrn")) < 300


def test_a_name_is_that_of_the_file_with_a_digest_of_its_code(tmp_path: Path) -> None:
    def name(folder: str, text: str = NET, end: str = "") -> str:
        return find_network(write_net(tmp_path / folder, text) + end).name

    assert name("a").startswith("net.py (")
    assert name("a", end=":Net").startswith("net.py:Net (")
    assert name("a") == name("b") == name("c", "# a comment\n" + NET)
    assert name("a") != name("d", NET.replace("relu", "tanh"))


def test_features_are_found_where_there_are_any(tmp_path: Path) -> None:
    made = [
        ClassifierWrapper(build_classifier(write_net(tmp_path / folder, text), 7, 32), Normaliser([0.5] * 3, [0.5] * 3))
        for folder, text in (("usual", NET), ("cosine", COSINE))
    ]
    images = torch.rand(4, 3, 32, 32)
    output = made[0].eval().forward_with_features(images, "bn", "penultimate", "stages")
    assert [stage.shape[1:] for stage in output.stages] == [(4, 16, 16), (8, 8, 8)]
    assert len(output.bn) == 2
    torch.testing.assert_close(made[0].net.fc(output.penultimate), output.logits)  # type: ignore[operator]
    assert made[1].forward_with_features(images, "bn", "stages").logits.shape == (4, 7)
    with pytest.raises(UserError, match=r"not the output of a torch.nn.Linear"):
        made[1].forward_with_features(images, "penultimate")


def test_all_parameters_are_trained(tmp_path: Path) -> None:
    frozen = f"{NET}{BUILD}Net(num_classes, in_chans).requires_grad_(False)\n"
    assert all(
        parameter.requires_grad for parameter in build_classifier(write_net(tmp_path, frozen), 7, 32).parameters()
    )


def test_parameters_keep_their_names(tmp_path: Path) -> None:
    net = build_classifier(write_net(tmp_path), 7, 32)
    assert list(net.state_dict())[:2] == ["first.conv.weight", "first.conv.bias"]
    assert isinstance(net.get_classifier(), nn.Linear)  # type: ignore[operator]
