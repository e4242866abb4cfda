"""Which training of a teacher a configuration names: that of a source, or okdbench's own."""

from __future__ import annotations

from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError, unknown
from okdbench.data.dataset import Dataset, TeacherRecipe

#: the teacher recipe of okdbench itself
OWN_RECIPE = "own"


def recipe_of(config: RunConfig, dataset: Dataset) -> TeacherRecipe | None:
    """How a source trains the teacher of a run; None for okdbench's own way."""
    return dataset.teacher_recipes.get(config.teacher_recipe or _usual_recipe(config, dataset))


def _usual_recipe(config: RunConfig, dataset: Dataset) -> str:
    """The teacher recipe where none is named."""
    first = next(iter(dataset.teacher_recipes), OWN_RECIPE)
    return first if config.budget == "paper" and not config.teacher_weights else OWN_RECIPE


def check_recipe(config: RunConfig, dataset: Dataset) -> str | None:
    """The recipe that is named, None for the usual one.

    Raises:
        UserError: the data set has no such recipe, or no teacher is trained.
    """
    name = config.teacher_recipe
    if name and name not in (known := [*dataset.teacher_recipes, OWN_RECIPE]):
        raise unknown(f"teacher recipe of {dataset.name}", name, known)
    if name and config.teacher_weights:
        raise UserError("--teacher-recipe trains a teacher and --teacher-weights names a trained one; leave one out")
    return None if name == _usual_recipe(config, dataset) else name
