"""Tables of Markdown, for the scripts that make parts of the pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with these heads and cells."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def signed(value: float, ends: tuple[float, float] | None) -> str:
    """A difference in points with its interval, bold where that is not around 0."""
    text = with_interval(value, ends, "{:+.1f}")
    return f"**{text}**" if ends and (ends[0] > 0 or ends[1] < 0) else text


def with_interval(value: float, ends: tuple[float, float] | None, form: str) -> str:
    """A number and, in brackets, the ends of its interval, if there is one; ``form`` formats each."""
    return form.format(value) + (f" ({form.format(ends[0])} to {form.format(ends[1])})" if ends else "")
