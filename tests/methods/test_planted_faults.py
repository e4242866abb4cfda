"""The tests of the mathematics have teeth: each of these one-line faults makes one of them fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOSSES, BASE = "okdbench/distill/losses.py", "okdbench/distill/adversarial.py"
REPLAY, GENERATORS = "okdbench/distill/replay.py", "okdbench/distill/networks/generators.py"
OPTIM, CONVOLUTIONS = "okdbench/distill/optim.py", "okdbench/distill/networks/convolutions.py"
SYNTHESIS, ROUNDS = "okdbench/distill/generator_synthesis.py", "okdbench/distill/synthesis.py"
AVERAGED, VIEWS = "okdbench/distill/averaged_synthesis.py", "okdbench/distill/views.py"
MAPS, FOURIER = "okdbench/distill/activation_maps.py", "okdbench/distill/networks/fourier.py"
AUGKD, CMI, MOSAIC, LTR, PRE = (f"methods/{name}.py" for name in ("augkd", "cmi", "mosaickd", "ltr", "pre"))
ZSKT = "methods/zskt.py"
DEEPINVERSION, FAST, NAYER, FOURDS = (f"methods/{name}.py" for name in ("deepinversion", "fast", "nayer", "4ds"))

#: what is wrong -> file, line, and the line with the fault
FAULTS = {
    "KL averaged over classes": (
        LOSSES,
        'reduction="batchmean", log_target=True)\n\n\ndef agreeing_kl',
        'reduction="mean", log_target=True)\n\n\ndef agreeing_kl',
    ),
    "no tau squared": (LOSSES, "return temperature**2 * F.kl_div", "return F.kl_div"),
    "L1 summed": (LOSSES, "(teacher - student).abs().mean()", "(teacher - student).abs().sum()"),
    "JS of one half": (
        LOSSES,
        "for side in (p, q)]\n    return torch.stack(halves)",
        "for side in (p,)]\n    return torch.stack(halves)",
    ),
    "JS without clamps": (LOSSES, "side.clamp(0.01, 0.99)", "side.clamp(0.0001, 0.9999)"),
    "attention without squares": (LOSSES, "f.square().mean(1)", "f.abs().mean(1)"),
    "attention not normalised": (LOSSES, "F.normalize(f.square().mean(1).flatten(1))", "f.square().mean(1).flatten(1)"),
    "sign of the class balance": (LOSSES, "return (log_p.exp() * log_p).sum()", "return -(log_p.exp() * log_p).sum()"),
    "sign of the entropy": (
        LOSSES,
        "return -(log_p.exp() * log_p).sum(1)",
        "return (log_p.exp() * log_p).sum(1)",
    ),
    "squared norm of statistics": (
        LOSSES,
        "torch._foreach_norm(differences)).sum()",
        "torch._foreach_norm(differences)).square().sum()",
    ),
    "KL of statistics doubled": (LOSSES, "return 0.5 * ((mean - running_mean)", "return 1.0 * ((mean - running_mean)"),
    "prior without its logarithm": (LOSSES, "log_var.exp() - 1 - log_var)", "log_var.exp() - 1)"),
    "sign of the energy": (LOSSES, "return -temperature * torch.logsumexp", "return temperature * torch.logsumexp"),
    "generator helps the student": (BASE, "= -self.divergence(", "= self.divergence("),
    "activation rewarded the other way": (BASE, "-output.penultimate.abs().mean()", "output.penultimate.abs().mean()"),
    "student in train mode for the generator": (
        BASE,
        "with self.student.eval_mode():\n            return self.student(images)",
        "if True:\n            return self.student(images)",
    ),
    "gradient through the replayed teacher": (
        REPLAY,
        "teacher_logits = teacher_logits.detach()",
        "teacher_logits = teacher_logits",
    ),
    "retention left out": (REPLAY, "self.learner.update(acquisition + retention)", "self.learner.update(acquisition)"),
    "no prior in the auto-encoder": (REPLAY, "loss + VAE_KL_WEIGHT *", "loss + 0 *"),
    "meta-gradient without the Hessian": (
        LTR,
        "torch._foreach_add_(meta, self.learner.product(graph, v), alpha=-hp.alpha)",
        "pass",
    ),
    "inner step in the wrong direction": (LTR, "decayed, alpha=-hp.alpha)", "decayed, alpha=hp.alpha)"),
    "student not clipped": (ZSKT, '* terms["attention"], clip=self.clip)', '* terms["attention"])'),
    "anchor moves the invariant part": (
        "okdbench/distill/networks/anchor.py",
        "mask * moved + (1 - mask) * z",
        "(1 - mask) * moved + mask * z",
    ),
    "labels of the second half shifted": (
        AUGKD,
        "torch.cat([batch.labels, batch.labels])",
        "torch.cat([batch.labels, batch.labels.roll(1)])",
    ),
    "mixture weights exchanged": (AUGKD, "+ f * batch.images", "+ (1 - f) * batch.images"),
    "patches of real images are fakes": (
        MOSAIC,
        "patch_loss(self.window_logits(real), True, summed)",
        "patch_loss(self.window_logits(real), False, summed)",
    ),
    "discriminator's loss doubled": (MOSAIC, "loss = (fake_loss + real_loss) / 2", "loss = fake_loss + real_loss"),
    "taps of the up-convolution": (
        CONVOLUTIONS,
        "_TAPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0)",
        "_TAPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)",
    ),
    "slope of the leaky ReLU": (GENERATORS, "nn.LeakyReLU(0.2, inplace=True)", "nn.LeakyReLU(0.1, inplace=True)"),
    "memory averaged with the batch": (LOSSES, "(terms[:count], terms[count:])", "(terms,)"),
    "projection learns from both views": (
        CMI,
        "with torch.no_grad():\n            others",
        "if True:\n            others",
    ),
    "moments of the projection": (CMI, '"betas": (0.9, 0.999)', '"betas": (0.5, 0.999)'),
    "moments of the projection lost": (SYNTHESIS, "in self.images.parameters():", "in self.source.parameters:"),
    "moments of the last generator kept": (SYNTHESIS, "self.source.optimizer.state.pop(parameter, None)", "pass"),
    "worst images of a round kept": (ROUNDS, "(loss.detach() < self._loss)", "(loss.detach() > self._loss)"),
    "images help the student": (ROUNDS, "= -self.divergence(", "= self.divergence("),
    "student of the pool at temperature 1": (
        ROUNDS,
        "self.student(images), self.hp.temperature)",
        "self.student(images))",
    ),
    "average and batch exchanged": (
        AVERAGED,
        "torch._foreach_lerp(own, self._average, self._momentum)",
        "torch._foreach_lerp(self._average, own, self._momentum)",
    ),
    "average of the warm-up left out": (AVERAGED, "self._average = self._newest", "pass"),
    "last inner gradient alone": (FAST, "list(torch._foreach_add(zeros, gradients))", "list(gradients)"),
    "first layers never start anew": (FAST, "weight.copy_(RESET_STD", "weight.clone().copy_(RESET_STD"),
    "pixels not clamped": (DEEPINVERSION, "normaliser.inverse(pixels).clamp(0, 1)", "normaliser.inverse(pixels)"),
    "norm of the pixels squared": (DEEPINVERSION, "self.pixels.norm()", "self.pixels.square().sum()"),
    "auto-encoder without images of its own": (PRE, "if self.clock.step else []", "if False else []"),
    "one noisy layer for all sets": (NAYER, "sets, self.drawn)", "sets, self.drawn[:1].expand_as(self.drawn))"),
    "each call starts from the last one's best": (NAYER, "self.hp.legacy_carried_best and ", ""),
    "channels not exchanged": (VIEWS, "maps, maps.flip(0))", "maps, maps)"),
    "maps of the student's classes": (MAPS, "classes = teacher.logits.argmax(1)", "classes = student.logits.argmax(1)"),
    "amplitudes exchanged": (FOURIER, "share[0] * new + share[1] * old", "share[1] * new + share[0] * old"),
    "adapters do not imitate the student": (FOURDS, '+ hp.soft * terms["adapters_kl"]', ""),
    "weight decay lost": (OPTIM, "betas=betas, weight_decay=weight_decay, fused", "betas=betas, fused"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree in a folder of its own."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("okdbench", "methods", "datasets", "leaderboards", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", folder)
    return folder


def compare(folder: Path) -> subprocess.CompletedProcess[str]:
    """The comparison with released code, and with equations where it deviates; it stops at the first difference."""
    tests = folder / "tests"
    files = sorted(map(str, tests.glob("methods/test_parity_*.py")))
    others = ("4ds", "cmi", "family", "fast", "nayer", "spaceshipnet")
    files += [str(tests / f"methods/test_{name}.py") for name in others]
    files += [str(tests / f"distill/test_{name}.py") for name in ("losses", "fourier")]
    words = [sys.executable, "-m", "pytest", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_every_fault_has_its_place_in_the_code() -> None:
    """A line that has changed must be planted anew; this is known at once, although the faults are tried rarely."""
    assert {name for name, (file, right, _) in FAULTS.items() if (ROOT / file).read_text().count(right) != 1} == set()


@pytest.mark.slow
def test_without_a_fault_nothing_differs(copy: Path) -> None:
    done = compare(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(copy: Path, fault: str) -> None:
    name, right, wrong = FAULTS[fault]
    text = (copy / name).read_text()
    try:
        (copy / name).write_text(text.replace(right, wrong))
        done = compare(copy)
    finally:
        (copy / name).write_text(text)
    # 1: tests failed; an import error, for example, ends with another code
    assert done.returncode == 1, done.stdout
