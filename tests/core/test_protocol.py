"""Tracks, and which evaluation counts."""

from __future__ import annotations

import pytest
from support.error_text import refusal

from okdbench.core.folds import fold_of
from okdbench.core.protocol import Track, is_tuning_seed, refuse_tuning_seeds, select, tracks_of, tuning_seeds
from okdbench.core.settings import TaskKind


def test_only_adapt_has_labels() -> None:
    assert tracks_of(TaskKind.ADAPT)[0] is Track.LABELLED
    assert set(tracks_of(TaskKind.ADAPT)) == set(Track)
    assert tracks_of(TaskKind.TRANSFER) == tracks_of(TaskKind.DATA_FREE) == (Track.LABEL_FREE,)


@pytest.mark.parametrize("track", [Track.LABELLED, Track.SEMI])
def test_the_earliest_of_the_best_validation_scores_counts(track: Track) -> None:
    assert select([10.0, 50.0, 50.0, 20.0], track) == 1


@pytest.mark.parametrize("scores", [[10.0, 50.0, 20.0], [None, None, None]])
def test_without_labels_the_last_counts(scores: list[float | None]) -> None:
    assert select(scores, Track.LABEL_FREE) == 2


def test_tuning_seeds_are_in_no_table_and_share_a_test_fold() -> None:
    assert tuning_seeds(3) == [1000, 1005, 1010]
    assert all(map(is_tuning_seed, tuning_seeds(50)))
    assert not any(map(is_tuning_seed, range(1000)))
    assert {fold_of(seed) for seed in tuning_seeds(50)} == {fold_of(0)}, "so it never sees what seed 0 tests"


def test_a_tuning_seed_is_refused_with_its_cure() -> None:
    refuse_tuning_seeds([0, 999])
    assert "--seed 1000: seeds from 1000 on are for okdbench tune" in refusal(refuse_tuning_seeds, [0, 1000])
