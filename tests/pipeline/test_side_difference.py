"""Differences of the sides: their size, their interval, and who is marked."""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.arrays import HuArray, LabelArray
from pipeline.atlas import AgeGroup
from pipeline.medians import grouped_median
from pipeline.noise import noise_hu
from pipeline.regions import REGION_SIDES, Level, Region
from pipeline.review import Review, ReviewLimits, review
from pipeline.side_difference import (
    NO_ASYMMETRY,
    Medians,
    Sample,
    SideDifference,
    compare,
    healthy_medians,
    mirrored,
    sample,
)
from tests.pipeline.heads import HEAD, RIGHT_LESIONS, mapped_on_truth, tools

SPACING_MM = (0.5, 0.6)
SHAPE = (90, 70)


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=60))
def test_median_is_that_of_the_standard_library(values: list[int]) -> None:
    found = grouped_median(np.array(values, dtype=float))
    assert found == pytest.approx(statistics.median_grouped(values))


def _noise(seed: int, sd_hu: float, smooth_mm: float = 0.8) -> HuArray:
    """Noise that hangs together, as that of a soft kernel does."""
    sigma = tuple(smooth_mm / step for step in SPACING_MM)
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), sigma)
    return np.asarray(field / field.std() * sd_hu, dtype=np.float32)


def _side(seed: int, hu: float = 34.0, sd_hu: float = 4.0) -> Sample:
    plane = np.rint(hu + _noise(seed, sd_hu)).astype(np.float32)
    return sample(plane, np.ones(SHAPE, dtype=bool), SPACING_MM)


def _compared(one: Sample, other: Sample, healthy: Medians = NO_ASYMMETRY) -> SideDifference:
    found = compare(one, other, healthy)
    assert found is not None
    return found


def test_what_the_atlas_shows_is_taken_off() -> None:
    found = _compared(_side(1, 32.0, 0.0), _side(2, 34.0, 0.0), Medians(right=35.0, left=36.0))
    assert found.difference_hu == pytest.approx(-2.0)
    assert found.corrected_difference_hu == pytest.approx(-1.0)
    assert found.corrected_ratio == pytest.approx(32 / 34 / (35 / 36))
    assert found.interval_hu is not None
    assert found.interval_hu[0] <= -1.0 <= found.interval_hu[1]


def test_both_sides_see_the_same() -> None:
    one, other = _side(1, 31.0), _side(2, 34.0)
    seen = _compared(one, other, Medians(right=35.0, left=36.0))
    swapped = _compared(other, one, Medians(right=36.0, left=35.0))
    found = mirrored(seen)
    assert found.corrected_difference_hu == pytest.approx(swapped.corrected_difference_hu)
    assert found.corrected_ratio == pytest.approx(swapped.corrected_ratio)
    # drawn anew, so not quite the same
    assert found.interval_hu == pytest.approx(swapped.interval_hu, abs=0.3)
    assert mirrored(found).interval_hu == seen.interval_hu


def test_same_pixels_have_the_same_interval() -> None:
    first, second = (_compared(_side(1), _side(2)) for _ in range(2))
    assert first == second
    assert _compared(_side(1), _side(3)).interval_hu != first.interval_hu


def test_interval_holds_the_truth() -> None:
    held = 0
    for seed in range(60):
        low, high = _compared(_side(seed), _side(seed + 100)).interval_hu or (1.0, -1.0)
        held += low <= 0.0 <= high
    # of 95 % at least 88 %: what chance allows in 60
    assert held >= 53


def test_pixels_that_hang_together_count_for_fewer() -> None:
    def width(smooth_mm: float) -> float:
        planes = (34 + _noise(seed, 4.0, smooth_mm) for seed in (5, 6))
        whole = np.ones(SHAPE, dtype=bool)
        one, other = (sample(plane, whole, SPACING_MM) for plane in planes)
        low, high = _compared(one, other).interval_hu or (0.0, 0.0)
        return high - low

    assert width(1.5) > 1.5 * width(0.3) > 0.0


@pytest.mark.parametrize("size", [0, 1, 12])
def test_small_regions_have_no_made_up_interval(size: int) -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:1, :size] = True
    small = sample(np.full(SHAPE, 30.0, dtype=np.float32), mask, SPACING_MM)
    found = compare(small, _side(1), NO_ASYMMETRY)
    if size == 0:
        assert found is None
    else:
        assert found is not None
        assert found.interval_hu is None
        assert found.ratio_interval is None


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-1024, 3000), min_size=1, max_size=40), st.integers(1, 8))
def test_any_pixels_can_be_compared(values: list[int], blocks: int) -> None:
    hu = np.array(values, dtype=np.float32)
    odd = Sample(hu=hu, block=np.minimum(np.arange(hu.size), blocks - 1).astype(np.int64))
    found = _compared(odd, _side(1))
    back = mirrored(found)
    assert back.corrected_difference_hu == -found.corrected_difference_hu
    if found.interval_hu is not None:
        assert found.interval_hu[0] <= found.interval_hu[1]


@pytest.mark.parametrize("sd_hu", [2.0, 5.0])
@pytest.mark.parametrize("smooth_mm", [0.01, 0.8])
def test_noise_is_found_whether_sharp_or_soft(sd_hu: float, smooth_mm: float) -> None:
    plane = 34 + _noise(3, sd_hu, smooth_mm)
    plane[:, :12] -= 28  # a ventricle, outside the tissue
    tissue = np.ones(SHAPE, dtype=np.uint8)
    tissue[:, :12] = 0
    found = noise_hu(plane.astype(np.float32), tissue, SPACING_MM)
    assert found == pytest.approx(sd_hu, rel=0.2)


def test_no_noise_without_tissue() -> None:
    plane = np.full(SHAPE, 30.0, dtype=np.float32)
    few: LabelArray = np.zeros(SHAPE, dtype=np.uint8)
    assert noise_hu(plane, few, SPACING_MM) is None
    few[:10, :10] = 1
    assert noise_hu(plane, few, SPACING_MM) is None


def test_asymmetry_of_the_real_atlas_is_small_and_not_nothing() -> None:
    differences = [
        healthy.right - healthy.left
        for group in AgeGroup
        for level in Level
        for healthy in healthy_medians(tools().atlases.get(group, level)).values()
    ]
    assert len(differences) == 4 * 10
    assert 0.8 < max(map(abs, differences)) < 1.5
    eldest = healthy_medians(tools().atlases.get(AgeGroup.AGE_70_89, Level.SUPRAGANGLIONIC))
    assert eldest[Region.M6].right - eldest[Region.M6].left == pytest.approx(-1.1, abs=0.05)


SOME = _compared(_side(1, 32.0, 0.0), _side(2, 34.0, 0.0))


@pytest.mark.parametrize(
    ("difference_hu", "ratio", "marked"),
    [(-2.5, 0.93, True), (-2.5, 0.96, False), (-1.9, 0.93, False), (2.5, 1.07, False)],
)
def test_both_limits_have_to_be_passed(difference_hu: float, ratio: float, marked: bool) -> None:
    found = replace(
        SOME,
        corrected_difference_hu=difference_hu,
        corrected_ratio=ratio,
        interval_hu=(difference_hu - 1, difference_hu + 1),
    )
    limits = ReviewLimits()
    assert review(found, limits) == Review(limits=limits, marked=marked)


def test_what_cannot_be_compared_is_not_marked() -> None:
    assert not review(None, ReviewLimits()).marked
    assert review(SOME, ReviewLimits()).marked
    assert not review(replace(SOME, corrected_ratio=None), ReviewLimits()).marked
    assert not review(replace(SOME, interval_hu=None), ReviewLimits()).marked
    assert not review(replace(SOME, interval_hu=(-4.0, 0.5)), ReviewLimits()).marked


def test_lesions_of_a_phantom_have_intervals_below_nothing() -> None:
    found = {
        item.region_side: item
        for item in mapped_on_truth(replace(HEAD, lesions=RIGHT_LESIONS)).measurements
    }
    dark = {(lesion.region, lesion.side) for lesion in RIGHT_LESIONS}
    limits = ReviewLimits()
    for item in REGION_SIDES:
        one = found[item].comparison
        assert one is not None
        assert one.interval_hu is not None
        is_dark = (item.region, item.side) in dark
        assert (one.interval_hu[1] < 0) >= is_dark, item.name
        assert review(one, limits).marked == is_dark, item.name
