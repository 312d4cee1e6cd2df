"""Scores of drawings whose difference is known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from pipeline.arrays import LabelArray, MaskArray
from pipeline.evaluation.overlap import RegionScore, State, compare_masks, score_reading
from pipeline.evaluation.reading import Reading
from pipeline.regions import Level, Region, Side

SPACING = (0.5, 0.4)
SHAPE = (160, 200)


def square(rows: int = 60, columns: int = 75, row: int = 40, column: int = 50) -> MaskArray:
    """Return a square of 30 mm at the spacing of these tests."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[row : row + rows, column : column + columns] = True
    return mask


def disc(radius_mm: float) -> MaskArray:
    rows, columns = np.indices(SHAPE)
    return np.asarray(np.hypot((rows - 80) * SPACING[0], (columns - 100) * SPACING[1]) <= radius_mm)


@pytest.mark.parametrize(("rows", "columns", "mm"), [(8, 0, 4.0), (0, 5, 2.0), (-6, 0, 3.0)])
def test_a_shift_is_given_back_in_mm(rows: int, columns: int, mm: float) -> None:
    truth = square()
    found = compare_masks(np.roll(truth, (rows, columns), (0, 1)), truth, SPACING)
    assert found["centroid_mm"] == pytest.approx(mm)
    assert found["hd95_mm"] == pytest.approx(mm)
    assert found["dsc"] == pytest.approx(1 - mm / 30)
    assert found["area_ratio"] == 1
    # of the contour, two of four edges are off by the shift, the ends of the others partly
    assert mm / 2 - 0.01 <= found["msd_mm"] <= mm / 2 + mm**2 / 60 + 0.05


def test_swapped_spacing_would_show() -> None:
    truth = square()
    shifted = np.roll(truth, 10, axis=0)
    assert compare_masks(shifted, truth, (0.5, 0.4))["centroid_mm"] == pytest.approx(5)
    assert compare_masks(shifted, truth, (0.4, 0.5))["centroid_mm"] == pytest.approx(4)


def test_a_wider_disc_is_off_by_its_margin_all_round() -> None:
    found = compare_masks(disc(14), disc(12), SPACING)
    assert found["hd95_mm"] == pytest.approx(2, abs=0.3)
    assert found["msd_mm"] == pytest.approx(2, abs=0.2)  # the library sees corners of pixels
    assert found["area_ratio"] == pytest.approx((14 / 12) ** 2, rel=0.01)
    assert found["dsc"] == pytest.approx(2 * 12**2 / (12**2 + 14**2), abs=0.01)
    assert found["centroid_mm"] == pytest.approx(0, abs=1e-9)
    assert found["surface_dsc"] == 0
    assert compare_masks(disc(12.6), disc(12), SPACING)["surface_dsc"] == 1


def test_distances_are_the_same_from_either_side() -> None:
    one, other = disc(9), np.roll(square(), 7, axis=1)
    here, there = compare_masks(one, other, SPACING), compare_masks(other, one, SPACING)
    for name in ("dsc", "surface_dsc", "hd95_mm", "msd_mm", "centroid_mm"):
        assert here[name] == pytest.approx(there[name])
    assert here["area_ratio"] == pytest.approx(1 / there["area_ratio"])


def test_distances_agree_with_every_pair_of_border_pixels() -> None:
    """Measure the contour as border pixels, all against all: within a pixel."""
    one, other = disc(9), np.roll(square(30, 40), 7, axis=1)
    points = [
        np.argwhere(mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1)
                             & np.roll(mask, -1, 1))) * SPACING
        for mask in (one, other)
    ]  # fmt: skip
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    ways = apart.min(axis=0), apart.min(axis=1)
    found = compare_masks(one, other, SPACING)
    assert found["hd95_mm"] == pytest.approx(max(np.percentile(way, 95) for way in ways), abs=0.7)
    assert found["msd_mm"] == pytest.approx(np.mean([way.mean() for way in ways]), abs=0.4)


def test_one_pixel_and_the_rim_of_the_image() -> None:
    dot = np.zeros(SHAPE, dtype=bool)
    dot[0, 0] = True
    corner = np.zeros(SHAPE, dtype=bool)
    corner[-1, -1] = True
    found = compare_masks(dot, corner, SPACING)
    assert found["dsc"] == 0
    assert found["centroid_mm"] == pytest.approx(math.hypot(159 * 0.5, 199 * 0.4))
    assert found["hd95_mm"] == pytest.approx(found["centroid_mm"], abs=1)


def reading(reader: str, drawn: Mapping[int, MaskArray], index: int = 9) -> Reading:
    labels: LabelArray = np.zeros(SHAPE, dtype=np.uint8)
    for number, mask in drawn.items():
        labels[mask] = number
    return Reading(
        reader=reader, labels={Level.GANGLIONIC: labels}, slices={Level.GANGLIONIC: index}
    )


def score(scores: tuple[RegionScore, ...], side: Side | None) -> RegionScore:
    (found,) = (item for item in scores if (item.region, item.side) == (Region.M1, side))
    return found


RIGHT, LEFT = square(20, 20, 10, 10), square(20, 20, 10, 150)


def test_a_missed_region_counts_nothing_and_has_no_distance() -> None:
    found = score_reading(
        reading("method", {5: RIGHT}), reading("anna", {5: RIGHT, 15: LEFT}), SPACING
    )
    left, both = score(found, Side.LEFT), score(found, None)
    assert left.state is State.MISSED
    assert (left.dsc, left.surface_dsc, left.area_ratio) == (0, 0, 0)
    assert math.isnan(left.hd95_mm)
    assert math.isnan(left.centroid_mm)
    assert both.state is State.SCORED
    assert both.dsc == pytest.approx(2 / 3)


def test_a_region_that_nobody_drew_is_not_scored() -> None:
    """A reader may draw one side only: the other says nothing about the method."""
    found = score_reading(
        reading("method", {5: RIGHT, 15: LEFT}), reading("anna", {5: RIGHT}), SPACING
    )
    left, both = score(found, Side.LEFT), score(found, None)
    assert left.state is State.NOT_DRAWN
    assert math.isnan(left.dsc)
    assert left.area_mm2 == pytest.approx(400 * 0.2)
    assert both.dsc == 1
    neither = [item for item in found if item.region is Region.C]
    assert {item.state for item in neither} == {State.NOT_DRAWN}


def test_what_one_of_two_people_left_out_is_not_scored() -> None:
    both_sides, one_side = {5: RIGHT, 15: LEFT}, {5: RIGHT}
    for drawn, truth in ((both_sides, one_side), (one_side, both_sides)):
        found = score_reading(
            reading("ben", drawn), reading("anna", truth), SPACING, by_person=True
        )
        assert score(found, Side.LEFT).state is State.NOT_DRAWN
        assert math.isnan(score(found, Side.LEFT).dsc)
        assert score(found, None).dsc == 1


def test_another_slice_is_told_and_compared_in_the_plane() -> None:
    found = score_reading(
        reading("method", {5: RIGHT}, index=11), reading("anna", {5: RIGHT}, index=9), SPACING
    )
    assert {item.slice_offset for item in found} == {2}
    assert score(found, Side.RIGHT).dsc == 1


def test_a_level_that_one_lacks_is_left_out() -> None:
    nothing = Reading(reader="ben", labels={}, slices={})
    assert score_reading(nothing, reading("anna", {5: RIGHT}), SPACING) == ()
