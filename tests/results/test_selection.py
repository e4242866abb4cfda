"""Records are chosen by the names that tables show; a name that none has is an error with those that exist."""

from __future__ import annotations

import pytest
from support.fake_records import record

from okdbench.core.errors import UserError
from okdbench.results.selection import choose

RECORDS = [record("kd", "A-C", seed, 60.0, shots=shots) for seed, shots in enumerate((None, 2, 10))]


@pytest.mark.parametrize(("wanted", "seed"), [("all", 0), ("2", 1), ("10", 2)])
def test_labels_per_class_are_chosen_as_tables_name_them(wanted: str, seed: int) -> None:
    (chosen,) = choose(RECORDS, {"shots": wanted}, [])
    assert chosen.seed == seed


def test_a_number_of_labels_that_no_record_has_is_refused() -> None:
    with pytest.raises(UserError, match="unknown shots among the records '5'"):
        choose(RECORDS, {"shots": "5"}, [])
