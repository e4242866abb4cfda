"""What two methods have in common is a piece of okdbench.distill, and not a copy in each."""

from itertools import combinations
from pathlib import Path

METHODS = Path(__file__).parents[2] / "methods"
#: so many equal lines, one after the other, are a copy
COPY = 6


def pieces(text: str) -> set[tuple[str, ...]]:
    """All runs of ``COPY`` lines that are not empty; what is imported is common to many."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("import ", "from "))]
    return {tuple(lines[start : start + COPY]) for start in range(len(lines) - COPY + 1)}


def test_no_two_methods_share_six_lines() -> None:
    found = {file.name: pieces(file.read_text()) for file in METHODS.glob("*.py")}
    copies = {(a, b): min(found[a] & found[b], default=None) for a, b in combinations(sorted(found), 2)}
    assert len(found) > 20
    assert not {pair: lines for pair, lines in copies.items() if lines}


def test_a_copy_is_found_wherever_it_is() -> None:
    copied = "\n\n".join(f"    line {number}" for number in range(COPY))
    assert pieces(f"import a\n{copied}\nb") & pieces(f"c\n{copied}")
