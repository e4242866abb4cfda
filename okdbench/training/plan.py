"""What a run consists of: the configuration, resolved and checked before anything is computed or written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from okdbench import registry
from okdbench.core import config as configuration
from okdbench.core import plugin_files, plugins
from okdbench.core.command import command_of, words_of
from okdbench.core.config import RunConfig, load_options
from okdbench.core.errors import UserError, unknown
from okdbench.core.files import default_data_root
from okdbench.core.folds import fold_of
from okdbench.core.plugin_files import LocalFile
from okdbench.core.protocol import PROTOCOL_VERSION, Budget, Track, budget_named, tracks_of
from okdbench.core.seeding import derive_seed
from okdbench.core.settings import Setting, TaskKind
from okdbench.core.syntax import spell_method
from okdbench.data.class_embeddings import read_embeddings
from okdbench.data.dataset import Dataset, TeacherRecipe
from okdbench.data.splits import Access, SplitRule, Splits, access, assemble
from okdbench.distill.card import BaseHyperparameters, Paper
from okdbench.distill.method import Method
from okdbench.distill.networks.timm_options import spelt
from okdbench.distill.networks.user_networks import Network
from okdbench.training.image_format import FIELDS, format_of
from okdbench.training.networks import PlannedFile, Role, find_networks, planned_file, pretrained_roles, start_files
from okdbench.training.plan_checks import check_access, check_size
from okdbench.training.teacher_recipe import check_recipe, recipe_of


@dataclass(frozen=True)
class Plan:
    """A run that can be carried out.

    Attributes:
        config: the configuration, with the setting's name spelt as the records have it, and the task's defaults.
        method: the method's class.
        hyperparameters: defaults, the budget's preset and the user's values, joined and checked.
        variant: what the user changed against the defaults of the budget, such as ``lr=0.1``; empty for nothing.
        teacher: its network; the code of a user's own is held here, because its file may be edited.
        student: the same.
        starts: the files of weights that the training of teacher and student starts from.
        trained: the file of a user's teacher; None for one that is trained here.
        dataset: the data set.
        setting: the task, the teacher's domains and the one whose images the method sees.
        budget: how many images teacher and student learn from.
        splits: the images, divided by the protocol.
        data_note: how the images differ from the official ones; empty when they do not.
        data_root: folder of images and caches.
        chosen: indices of the images that the method sees of those that its track shows; None for all.
        format_note: what the file of the teacher says of its images, and what of it is used; empty without a file.
    """

    config: RunConfig
    method: type[Method]
    hyperparameters: BaseHyperparameters
    variant: str
    teacher: Network
    student: Network
    starts: Mapping[Role, PlannedFile]
    trained: PlannedFile | None
    dataset: Dataset
    setting: Setting
    budget: Budget
    splits: Splits
    data_note: str
    data_root: Path
    chosen: Sequence[int] | None = None
    format_note: str = ""

    @cached_property
    def access(self) -> Access:
        """What the method sees of the images."""
        found = access(self.splits, self.track, self.config.shots, self.dataset.classes)
        return found if self.chosen is None else replace(found, images=found.images.take(np.array(self.chosen)))

    def with_images(self, chosen: Sequence[int]) -> Plan:
        """The same run, whose method sees these images alone."""
        return replace(self, chosen=chosen)

    def seed_for(self, *purpose: str) -> int:
        """The seed of one purpose, such as the student's weights; unrelated to those of other settings and seeds."""
        return derive_seed(*purpose, self.dataset.name, self.setting.name, self.config.seed)

    @property
    def teacher_recipe(self) -> TeacherRecipe | None:
        """How a source trains the teacher; None for okdbench's own way."""
        return recipe_of(self.config, self.dataset)

    @property
    def track(self) -> Track:
        """The track of the run."""
        assert self.config.track is not None, "make_plan() sets it"
        return self.config.track

    @cached_property
    def class_embeddings(self) -> npt.NDArray[np.float32] | None:
        """Text embeddings of the classes, C x E; None where the method reads none, and where there are none.

        Raises:
            UserError: the file of a user's own is no such file, or lacks a class.
        """
        file = self.dataset.class_embeddings
        if file is None or not self.method.reads_names(self.hyperparameters):
            return None
        return read_embeddings(file, self.dataset.classes)

    @property
    def weights_digest(self) -> str | None:
        """SHA-256 of the file of a user's teacher; None without one."""
        return self.trained and self.trained.digest

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on, and so neither of device and trackers nor of ``tuned``."""
        # weights, hyper-parameters and statistics are below by value; the digest of the images has split and channels
        files = {"teacher_weights", "teacher_init", "student_weights"}
        elsewhere = {*files, "hyperparameters", "test_split", "value_range", *FIELDS}
        resolved = self.config.model_dump(mode="json", exclude={"device", "log_to", "tuned", *elsewhere})
        identity = {
            **resolved,
            "method": self.method_name,
            "dataset": self.dataset.name,
            "teacher": self.teacher.identity,
            "student": self.student.identity,
            **{f"{role} start": start.digest for role, start in self.starts.items()},
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "teacher_weights": self.weights_digest,
            **({"rows": self.dataset.teacher_classes} if self.weights_digest and self.dataset.teacher_classes else {}),
            "budget": vars(self.budget),
            "teacher_recipe": self.teacher_recipe and asdict(self.teacher_recipe),
            "source": self.source,
            "data": self.splits.digest,
            "normalisation": self.dataset.normalisation,
            **({} if (text := self.class_embeddings) is None else {"class_embeddings": text.tolist()}),
            # square images show no rule and no filter, but the student's card has them for others
            **{
                name: value
                for name in ("resize", "interpolation")
                if (value := getattr(self.dataset, name)) != getattr(type(self.dataset), name)
            },
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
    def method_file(self) -> LocalFile | None:
        """The file of a local method as it was loaded, which may have been edited since; None for other methods."""
        return plugin_files.loaded_from(self.method.__module__)

    @property
    def title(self) -> str:
        """The run in a few words: ``kd[lr=0.1] digits MP-O seed 0``; the task's default track is not named."""
        config = self.config
        method = spell_method(self.method_name, self.variant)
        track = "" if self.track is tracks_of(self.setting.task)[0] else f" {self.track}"
        shots = "" if config.shots is None else f" {config.shots} shots"
        return f"{method} {self.dataset.name} {config.setting} seed {config.seed}{track}{shots}"

    @property
    def command(self) -> str:
        """The command line that repeats this run: networks are named, other defaults omitted, paths as given."""
        return command_of(self.config)

    @property
    def words(self) -> list[str]:
        """The arguments of ``okdbench`` in :attr:`command`."""
        return words_of(self.config)


def make_plan(
    values: Mapping[str, Any],
    file: Path | None = None,
    data_root: Path | None = None,
    load: Callable[[Dataset, Setting, int, Path, SplitRule], Splits] = assemble,
) -> Plan:
    """Resolve ``values`` over ``file`` over defaults, and load the images.

    Args:
        values: fields of :class:`~okdbench.core.config.RunConfig`, None for one that is not given; ``setting`` defaults
            to the first default setting of the data set, or of ``task``.
        file: a YAML file with further fields.
        data_root: folder of images and caches; the default one if None.
        load: loads the splits of a setting; a :class:`~okdbench.data.splits.SplitCache` lets several plans share them.

    Raises:
        UserError: a name, value, file or combination that cannot be run.
    """
    # --- 1. configuration: defaults depend on data set and setting, so these are looked up first
    in_file = load_options(file) if file else {}
    dataset = registry.load_dataset(str(values.get("dataset") or in_file.get("dataset") or ""))
    setting = dataset.setting(_setting_name(values, in_file, dataset))
    config = configuration.resolve({**values, "setting": setting.name}, file=file)
    dataset, image_format, format_note = format_of(dataset, config)
    rule, is_default = _split_rule(config, dataset, setting)
    own = {**_own_defaults(config, dataset, setting), **image_format}
    config = config.model_copy(update=own | ({"test_split": None} if is_default else {}))

    # --- 2. the method, the networks and the setting
    method = registry.load_method(config.method)
    preset = method.preset(config.budget, dataset.name)
    check_access(config.method, method, setting, own["track"], config.shots)
    teacher, student = find_networks(config)
    format_note += f"; built with {spelt(teacher.options)}" if teacher.options else ""
    check_size(config, method, format_note)
    source = f"{file}: {config.method}" if file else config.method
    if not setting.teacher_domains and not config.teacher_weights:
        raise UserError(
            f"setting {setting.name!r} has no domain to train a teacher on, and every run has one: its record has the "
            "teacher's accuracy, also where the method does not read the teacher; give one with --teacher-weights"
        )

    # --- 3. hyper-parameters, budget and images
    root = data_root or default_data_root()
    plan = Plan(
        config=config,
        method=method,
        hyperparameters=configuration.check_hyperparameters(
            method.Hyperparameters, preset, config.hyperparameters, source
        ),
        variant=configuration.variant_name(method.Hyperparameters, preset, config.hyperparameters),
        teacher=teacher,
        student=student,
        starts=start_files(config),
        trained=planned_file(config.teacher_weights) if config.teacher_weights else None,
        dataset=dataset,
        setting=setting,
        budget=_budget(config.budget, method.paper(dataset.name)),
        splits=load(dataset, setting, config.image_size, root, rule),
        data_note=dataset.note(dataset.domains_of(setting, rule.official), root),
        data_root=root,
        format_note=format_note,
    )
    _check_subset(plan)
    return plan


def _own_defaults(config: RunConfig, dataset: Dataset, setting: Setting) -> dict[str, Any]:
    """Fields whose defaults depend on others; what changes nothing here is written as not given, for one key."""
    return {
        "track": config.track or tracks_of(setting.task)[0],
        "teacher": config.teacher or dataset.teacher,
        "student": config.student or dataset.student,
        "pretrained": bool(pretrained_roles(config)),
        "teacher_recipe": check_recipe(config, dataset),
    }


def _check_subset(plan: Plan) -> None:
    """Refuse a class with too few images, and a choice among images that does not exist."""
    count, found = plan.config.ood_subset, len(plan.access.images)
    if count is None:
        return
    if plan.setting.task is not TaskKind.TRANSFER:
        raise UserError(
            f"--ood-subset chooses among the images of task transfer; {plan.setting.name} is {plan.setting.task}"
        )
    if count > found:
        raise UserError(f"--ood-subset {count}: there are {found} images; give at most so many")


def _setting_name(values: Mapping[str, Any], in_file: Mapping[str, Any], dataset: Dataset) -> str:
    """The setting that is named, or else the first default one of the task that is named, or of the data set."""
    for layer in (values, in_file):
        if layer.get("setting") is not None:
            return str(layer["setting"])
    task = str(values.get("task") or in_file.get("task") or dataset.default_task)
    if task not in list(TaskKind):
        raise unknown("task", task, list(TaskKind))
    if not (defaults := dataset.default_settings(TaskKind(task))):
        raise UserError(f"{dataset.name} has no default settings of task {task}; name a setting")
    return defaults[0]


def _split_rule(config: RunConfig, dataset: Dataset, setting: Setting) -> tuple[SplitRule, bool]:
    """The fold of the seed, with official test images unless there are none or they are refused; if it is default."""
    exist = any(domain in dataset.official_tests for domain in setting.evaluated_domains)
    if config.test_split == "official" and not exist:
        raise UserError(f"{dataset.name} {setting.name} has no official test split; leave out --test-split")
    # In task transfer nobody looks at those of the input domain, but they leave its other images for training.
    matters = exist or setting.input_domain in dataset.official_tests
    official = matters and config.test_split != "folds"
    return SplitRule(fold_of(config.seed), official), official == matters


def _budget(name: str, paper: Paper) -> Budget:
    budget = budget_named(name)
    return replace(budget, batch_size=paper.batch_size) if name == "paper" else budget
