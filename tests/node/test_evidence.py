from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.evidence import (
    Clues,
    Evidence,
    Place,
    describe_gaps,
    is_whole_head,
    place_of,
    weigh,
)


def stack(*heights: float, tilt_degrees: float = 0.0) -> list[Place | None]:
    """Return slices at these heights along the normal of a tilted head."""
    c, s = math.cos(math.radians(tilt_degrees)), math.sin(math.radians(tilt_degrees))
    return [
        # a tilted gantry: rows turn about x, and so does the normal
        place_of((-100.0, -s * h - 90.0, c * h + 3.0), (1, 0, 0, 0, c, s))
        for h in heights
    ]


def steps(count: int, spacing: float = 5.0, start: float = 0.0) -> list[float]:
    return [start + spacing * index for index in range(count)]


@pytest.mark.parametrize("tilt", [0.0, 18.0])
@pytest.mark.parametrize(("count", "spacing"), [(28, 5.0), (160, 0.9), (21, 5.0)])
def test_regular_head_is_whole(count: int, spacing: float, tilt: float) -> None:
    assert is_whole_head(stack(*steps(count, spacing), tilt_degrees=tilt))


def test_blocks_that_overlap_where_they_meet_are_whole() -> None:
    low = [4.0 * k for k in range(14)]
    high = [53.1 + 7.0 * k for k in range(14)]
    assert is_whole_head(stack(*low, *high, tilt_degrees=18.5))
    assert not is_whole_head(stack(*low, *(height + 7.0 for height in high)))
    assert not is_whole_head(stack(*low, *high[:5], *high[6:]))


def test_two_blocks_of_spacing_are_whole() -> None:
    assert is_whole_head(stack(*steps(12, 2.5), *steps(10, 10.0, start=37.5)))


@given(st.integers(1, 26), st.randoms(use_true_random=False))
def test_missing_slice_is_seen(missing: int, order: random.Random) -> None:
    heights = [h for h in steps(28) if h != 5.0 * missing]
    order.shuffle(heights)
    assert not is_whole_head(stack(*heights))


@pytest.mark.parametrize(
    "heights",
    [[], [0.0], steps(4, 40.0), steps(19), [*steps(28), 5.0], [*steps(28), 400.0]],
    ids=["none", "one", "too few", "too short", "one twice", "one far off"],
)
def test_not_a_whole_head(heights: list[float]) -> None:
    assert not is_whole_head(stack(*heights))


def test_scout_in_the_series_means_no_evidence() -> None:
    scout = place_of((0, 0, 0), (0, 1, 0, 0, 0, -1))
    assert not is_whole_head([*stack(*steps(28)), scout])
    assert not is_whole_head([*stack(*steps(28)), None])


@pytest.mark.parametrize(
    ("position", "orientation"),
    [(None, None), ([1, 2], [1, 0, 0, 0, 1, 0]), (["x"] * 3, [0] * 6), ([math.nan] * 3, [0] * 6)],
)
def test_unusable_values_are_no_place(position: object, orientation: object) -> None:
    assert place_of(position, orientation) is None


def clues(*, is_held: bool = False, expected: int | None = None, count: int = 28) -> Clues:
    places = tuple(stack(*steps(count)))
    return Clues(images=count, places=places, is_held=is_held, expected=expected)


def test_order_of_evidence() -> None:
    assert weigh(clues(is_held=True, expected=28)) is Evidence.COUNT
    assert weigh(clues(expected=29)) is Evidence.SHORT
    assert weigh(clues(is_held=True)) is Evidence.OPEN
    assert weigh(clues()) is Evidence.GEOMETRY
    assert weigh(clues(count=10)) is Evidence.NONE


def test_words_for_what_is_missing() -> None:
    assert describe_gaps(stack(*steps(28))) == ""
    assert describe_gaps(stack(*steps(10))) == "slices cover 50 mm"
    assert describe_gaps([None]) == "slices without a common geometry"
