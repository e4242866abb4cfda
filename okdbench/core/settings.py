"""Tasks and settings: which domains the teacher knows, which images the method sees, and where the student is tested.

A setting is written with the letters of its domains, and its form tells the task:

=========  =========  ================================  ========================
setting    task       the method sees                   the student is tested on
=========  =========  ================================  ========================
``AW-D``   adapt      train images of D                 D
``AW@D``   transfer   train images of D, never a label  A and W
``AW``     data-free  no image                          A and W
=========  =========  ================================  ========================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from okdbench.core.errors import UserError


class TaskKind(StrEnum):
    """The three tasks of the literature."""

    ADAPT = "adapt"
    TRANSFER = "transfer"
    DATA_FREE = "data-free"


#: what stands between the teacher's domains and the other one
_SEPARATORS = {"-": TaskKind.ADAPT, "@": TaskKind.TRANSFER}
#: for error messages
_FORMS = "AB-C (adapt), AB@C (transfer) or AB (data-free), with A and B the teacher's domains"


@dataclass(frozen=True)
class Setting:
    """One cell of a comparison.

    Attributes:
        name: the letters in canonical form, such as ``MP-O``.
        task: which of the three tasks it is.
        teacher_domains: domains that the teacher is trained on; none where only its weights are available.
        input_domain: domain whose train images the method sees; empty for the task data-free.
    """

    name: str
    task: TaskKind
    teacher_domains: tuple[str, ...]
    input_domain: str

    @property
    def test_domains(self) -> tuple[str, ...]:
        """Domains on which the student is tested."""
        return (self.input_domain,) if self.task is TaskKind.ADAPT else self.teacher_domains

    @property
    def evaluated_domains(self) -> tuple[str, ...]:
        """Domains whose test images are looked at: those of the test, and in task adapt the teacher's (retention)."""
        return tuple(dict.fromkeys((*self.test_domains, *self.teacher_domains)))

    @classmethod
    def parse(cls, text: str, domains: Mapping[str, str], unlabelled: Collection[str] = ()) -> Setting:
        """Parse ``MP-O``, ``MP@O`` or ``MP``.

        The part before the dash is empty when the teacher's training images are not available, as in ``-O``.

        >>> Setting.parse("pm@o", {"M": "mnist", "O": "optical", "P": "print"})
        Setting(name='MP@O', task=<TaskKind.TRANSFER: 'transfer'>, teacher_domains=('mnist', 'print'), \
input_domain='optical')

        Args:
            text: the setting, in letters of any case.
            domains: letter -> name of the domain.
            unlabelled: names of domains without labels of the data set's classes.

        Raises:
            UserError: the text has another form, a letter is unknown, a domain appears twice, or it must be labelled.
        """
        task = task_of(text)
        teacher, separator, other = _parted(text.upper())
        letters = ", ".join(f"{letter} = {name}" for letter, name in domains.items())
        if len(other) != len(separator) or (task is not TaskKind.ADAPT and not teacher):
            raise UserError(f"setting {text!r} is not of the form {_FORMS}; the letters: {letters}")
        for letter in teacher + other:
            if letter not in domains:
                raise UserError(f"setting {text!r}: no domain has the letter {letter!r} ({letters})")
        if (other and other in teacher) or len(set(teacher)) < len(teacher):
            raise UserError(f"setting {text!r} names a domain twice; use each letter at most once ({letters})")
        for letter in teacher + other * (task is TaskKind.ADAPT):
            if domains[letter] in unlabelled:
                others = [known for known in domains if known != letter and domains[known] not in unlabelled]
                labelled = "".join(sorted(set(teacher) & set(others))) or "".join(others[:1])
                raise UserError(
                    f"setting {text!r}: {domains[letter]} has no labels of these classes to test on, so it can only be "
                    f"what a student transfers from, as in {labelled}@{letter}"
                )
        # Sorted, so that MP-O and PM-O are one setting with one name and one key.
        ordered = "".join(sorted(teacher))
        known = tuple(domains[letter] for letter in ordered)
        return cls(f"{ordered}{separator}{other}", task, known, domains[other] if other else "")


def task_of(text: str) -> TaskKind:
    """The task that the form of a setting tells.

    >>> task_of("AW-D"), task_of("AW")
    (<TaskKind.ADAPT: 'adapt'>, <TaskKind.DATA_FREE: 'data-free'>)
    """
    return _SEPARATORS.get(_parted(text)[1], TaskKind.DATA_FREE)


def settings_of(task: TaskKind, declared: Sequence[str]) -> tuple[str, ...]:
    """A data set's default settings of a task: those that it declares, or else those that follow from task adapt's.

    >>> settings_of(TaskKind.TRANSFER, ("MP-O", "MO-P")), settings_of(TaskKind.DATA_FREE, ("A-C", "A-D", "C-A"))
    (('MP@O', 'MO@P'), ('A', 'C'))
    """
    own = tuple(text for text in declared if task_of(text) is task)
    if own or task is TaskKind.ADAPT:
        return own
    parts = [_parted(text) for text in declared if task_of(text) is TaskKind.ADAPT]
    texts = [teacher + f"@{other}" * (task is TaskKind.TRANSFER) for teacher, _, other in parts if teacher]
    return tuple(dict.fromkeys(texts))


def _parted(text: str) -> tuple[str, str, str]:
    """Letters of the teacher's domains, separator, letter of the other one."""
    separator = next((letter for letter in _SEPARATORS if letter in text), "")
    teacher, _, other = text.partition(separator) if separator else (text, "", "")
    return teacher, separator, other
