from __future__ import annotations

import numpy as np
import pytest

from pipeline.localizer.decode import choose, normalised, vote
from tests.pipeline.localizer.heads import positions


def test_a_level_outside_the_scan_is_voted_outside() -> None:
    places = positions(10, 5.0)
    assert vote(places, 60 - places) == pytest.approx(60)
    assert vote(places, -20 - places) == pytest.approx(-20)


def test_far_voters_do_not_outvote_near_ones() -> None:
    places = positions(12, 5.0)
    says = np.where(np.abs(places - 25) <= 10, 25 - places, 44 - places + 20)
    assert vote(places, says) == pytest.approx(25)


def test_evidence_becomes_probabilities() -> None:
    rows = normalised(np.array([[0.0, 1000, 999], [5, 5, 5]]))
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(rows[1]), 1 / 3)


def test_the_distance_settles_a_tie() -> None:
    places = positions(12, 5.0)
    evidence = np.full((2, 12), -20.0)
    evidence[0, [3, 5]] = 0
    evidence[1, 9] = 0
    low, high = choose(places, evidence)
    assert (low.index, low.runner_up, high.index) == (5, 3, 9)
    assert 0 < low.margin < high.margin <= 1


def test_the_distance_does_not_overrule_the_network() -> None:
    places = positions(12, 5.0)
    evidence = np.full((2, 12), -20.0)
    evidence[0, 3], evidence[1, 9] = 0, 0
    low, high = choose(places, evidence)
    assert (low.index, high.index) == (3, 9)


def test_equal_candidates_have_no_margin() -> None:
    low, _ = choose(np.array([0.0, 40.0]), np.array([[0.0, 0.0], [0.0, 0.0]]))
    assert low.margin < 0.6
    alone, _ = choose(np.array([0.0]), np.zeros((2, 1)))
    assert (alone.index, alone.runner_up, alone.margin) == (0, None, 1.0)


def test_the_roof_moves_the_upper_level_alone() -> None:
    positions = np.arange(20, dtype=np.float64) * 5
    evidence = np.stack([-0.5 * (np.arange(20) - where) ** 2 for where in (8.45, 12.45)])
    roof = np.where(np.arange(20) == 13, 0.0, -3.0)
    alone, together = choose(positions, evidence), choose(positions, evidence, roof)
    assert [pick.index for pick in alone] == [8, 12]
    assert together[0] == alone[0]
    assert together[1].index == 13
    assert together[1].runner_up == 12
