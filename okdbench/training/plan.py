"""What a run consists of: the configuration, resolved and checked before anything is computed or written."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from okdbench import registry
from okdbench.core import config as configuration
from okdbench.core import plugins, yaml_files
from okdbench.core.command import words_of
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.files import default_data_root
from okdbench.core.protocol import PROTOCOL_VERSION, Budget, Setting, budget_named
from okdbench.core.syntax import spell_method
from okdbench.data.dataset import Dataset
from okdbench.data.splits import Splits, assemble
from okdbench.distill.card import BaseHyperparameters
from okdbench.distill.method import Method
from okdbench.distill.networks.classifiers import check_name


@dataclass(frozen=True)
class Plan:
    """A run that can be carried out.

    Attributes:
        config: the configuration, with the setting's name spelt as the records have it.
        method: the method's class.
        hyperparameters: defaults, the budget's preset and the user's values, joined and checked.
        variant: what the user changed against the defaults of the budget, such as ``lr=0.1``; empty for nothing.
        dataset: the data set.
        setting: the teacher's domains and the student's.
        budget: how many images teacher and student learn from.
        splits: the images, divided by the protocol.
        data_note: how the images differ from the official ones; empty when they do not.
    """

    config: RunConfig
    method: type[Method]
    hyperparameters: BaseHyperparameters
    variant: str
    dataset: Dataset
    setting: Setting
    budget: Budget
    splits: Splits
    data_note: str

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on, the device excepted."""
        # weights and hyper-parameters are below by value, and the digest of the images has the test split
        resolved = self.config.model_dump(
            mode="json", exclude={"device", "teacher_weights", "hyperparameters", "test_split"}
        )
        weights = self.config.teacher_weights
        identity = {
            **resolved,
            "method": self.method_name,
            "dataset": self.dataset.name,
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "teacher_weights": weights and hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
            "budget": vars(self.budget),
            "source": self.source,
            "data": self.splits.digest,
            "protocol": PROTOCOL_VERSION,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def source(self) -> str:
        """Hash of the code that the result depends on; see :func:`okdbench.registry.source_digest`."""
        return registry.source_digest(self.method, type(self.dataset))

    @property
    def method_name(self) -> str:
        """The method's name; for a method given as a file, the name of the file without its ending."""
        return plugins.name_of(self.config.method)

    @property
    def title(self) -> str:
        """The run in a few words: ``kd[lr=0.1] digits MP-O seed 0``; the track is named unless it is the default."""
        config = self.config
        method = spell_method(self.method_name, self.variant)
        track = "" if config.track is RunConfig.model_fields["track"].default else f" {config.track}"
        return f"{method} {self.dataset.name} {config.setting} seed {config.seed}{track}"

    @property
    def command(self) -> str:
        """The command line that repeats this run; defaults are omitted, paths are as they were given."""
        return shlex.join(["okdbench", *self.words])

    @property
    def words(self) -> list[str]:
        """The arguments of ``okdbench`` in :attr:`command`."""
        return words_of(self.config)


def make_plan(
    values: Mapping[str, Any],
    file: Path | None = None,
    data_root: Path | None = None,
    load: Callable[[Dataset, Setting, int, Path, str], Splits] = assemble,
) -> Plan:
    """Resolve ``values`` over ``file`` over defaults, and load the images.

    Args:
        values: fields of :class:`~okdbench.core.config.RunConfig`, None for one that is not given; ``setting`` defaults
            to the first of the data set's default settings.
        file: a YAML file with further fields.
        data_root: folder of images and caches; the default one if None.
        load: loads the splits of a setting; a :class:`~okdbench.data.splits.SplitCache` lets several plans share them.

    Raises:
        UserError: a name, value, file or combination that cannot be run.
    """
    # --- 1. configuration: the default setting depends on the data set, so that is looked up first
    in_file = yaml_files.load_yaml(file) if file else {}
    dataset = registry.load_dataset(str(values.get("dataset") or in_file.get("dataset") or ""))
    given = in_file.get("setting") if values.get("setting") is None else values["setting"]
    setting = dataset.settings[0] if given is None else given
    config = configuration.resolve({**values, "setting": setting}, file=file)

    # --- 2. the method, the networks and the setting
    method = registry.load_method(config.method)
    preset = method.presets.get(config.budget, {})
    _check_access(config, method)
    source = f"{file}: {config.method}" if file else config.method
    parsed = Setting.parse(config.setting, dataset.domains)
    if not parsed.teacher_domains and not config.teacher_weights:
        raise UserError(f"setting {parsed.name!r} has no domain to train a teacher on; give one with --teacher-weights")

    # --- 3. hyper-parameters, budget and images
    root = data_root or default_data_root()
    return Plan(
        config=config.model_copy(update={"setting": parsed.name}),
        method=method,
        hyperparameters=configuration.check_hyperparameters(
            method.Hyperparameters,
            preset,
            config.hyperparameters,
            source,
        ),
        variant=configuration.variant_name(method.Hyperparameters, preset, config.hyperparameters),
        dataset=dataset,
        setting=parsed,
        budget=_budget(config.budget, method),
        splits=load(dataset, parsed, config.image_size, root, config.test_split),
        data_note=dataset.note(_domains(dataset, parsed, config.test_split), root),
    )


def _domains(dataset: Dataset, setting: Setting, test_split: str) -> list[str]:
    """Every domain whose images the run reads."""
    official = [dataset.official_tests[setting.student_domain]] if test_split == "official" else []
    return [*setting.teacher_domains, setting.student_domain, *official]


def _check_access(config: RunConfig, method: type[Method]) -> None:
    """Refuse a track that the method does not have, an unknown network and a missing weights file."""
    if config.track not in method.card.tracks:
        tracks = ", ".join(method.card.tracks)
        raise UserError(f"method {config.method!r} does not run in the {config.track} track; its tracks: {tracks}")
    for network in (config.teacher, config.student):
        check_name(network, config.pretrained)
    if config.teacher_weights and not Path(config.teacher_weights).is_file():
        raise UserError(f"weights file {config.teacher_weights} does not exist; give a .safetensors or state-dict file")


def _budget(name: str, method: type[Method]) -> Budget:
    budget = budget_named(name)
    # ``paper`` is each author's own recipe, so its batch size is the method's
    return replace(budget, batch_size=method.paper_batch_size) if name == "paper" else budget
