"""Tracks, and which evaluation counts."""

from __future__ import annotations

import pytest

from okdbench.core.protocol import Track, select, tracks_of
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
