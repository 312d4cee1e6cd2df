"""Contrast agent, metal and streaks are seen; calcification, blood and bone are not they."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from pipeline.arrays import HuArray, MaskArray
from pipeline.foreign_density import ForeignDensity, foreign_density
from pipeline.geometry import InPlaneView
from pipeline.quality import HeadNumbers, Verdict, foreign_reasons
from pipeline.volume import Volume

SHAPE = (22, 160, 150)
SPACING_MM = (1.0, 1.1)
LEVELS = (9, 13)
DOWN, ACROSS = (np.mgrid[:160, :150] - np.array([80, 75])[:, None, None]) * np.array(SPACING_MM)[
    :, None, None
]
RADIUS_MM = np.hypot(DOWN / 1.1, ACROSS)


def _volume(voxels: HuArray, step_mm: float = 5.0) -> Volume:
    count = len(voxels)
    return Volume(
        voxels=voxels,
        pixel_affines=np.zeros((count, 3, 3)),
        pixel_spacing_mm=SPACING_MM,
        distances_mm=np.arange(count, dtype=float) * step_mm,
        slice_thickness_mm=np.full(count, step_mm),
        view=InPlaneView(transpose=False, flip_rows=False, flip_columns=False),
    )


@pytest.fixture
def voxels() -> HuArray:
    """A skull of 6 mm about a brain with noise, in air."""
    head = np.full(SHAPE, -1000.0)
    head[:, RADIUS_MM < 72] = 1200.0
    noise = np.random.default_rng(1).normal(0, 5, SHAPE)
    return np.where(RADIUS_MM < 66, 34 + noise, head).astype(np.float32)


@pytest.fixture
def brain() -> MaskArray:
    return np.broadcast_to(RADIUS_MM < 66, SHAPE).copy()


def _found(voxels: HuArray, brain: MaskArray, levels: tuple[int, int] = LEVELS) -> ForeignDensity:
    return foreign_density(_volume(voxels), brain, levels)


def _reasons(found: ForeignDensity) -> dict[str, Verdict]:
    head = HeadNumbers(**asdict(found))
    return {reason.code: reason.verdict for reason in foreign_reasons(head)}


def _paint_vessels(voxels: HuArray, hu: float) -> None:
    """Opacify twelve vessels that run upwards, some across, 3 mm wide."""
    for number in range(12):
        angle = number * np.pi / 6
        for index in range(4, 20):
            place = 20 + 10 * (number % 3) + 0.5 * index
            near = np.hypot(DOWN - place * np.cos(angle), ACROSS - place * np.sin(angle))
            # they come and go: apart from each other, and in parts
            if (index + number) % 4:
                voxels[index][near < 2.2] = hu


def test_a_native_head_has_none(voxels: HuArray, brain: MaskArray) -> None:
    found = _found(voxels, brain)
    assert (found.vessel_parts, found.metal_ml, found.streak_share) == (0, 0.0, 0.0)
    assert _reasons(found) == {}


def test_opacified_vessels_are_seen_in_parts_over_the_slices(
    voxels: HuArray, brain: MaskArray
) -> None:
    _paint_vessels(voxels, 180.0)
    assert _reasons(_found(voxels, brain)) == {"contrast": Verdict.FAIL}


def test_vessels_left_out_of_the_brain_mask_are_seen_too(voxels: HuArray, brain: MaskArray) -> None:
    _paint_vessels(voxels, 300.0)
    assert _reasons(_found(voxels, brain & (voxels < 110))) == {"contrast": Verdict.FAIL}


@pytest.mark.parametrize("hu", [60.0, 85.0])
def test_blood_in_vessels_and_clots_is_not_contrast(
    voxels: HuArray, brain: MaskArray, hu: float
) -> None:
    _paint_vessels(voxels, hu)
    assert _reasons(_found(voxels, brain)) == {}


def test_calcification_in_few_places_is_not_contrast(voxels: HuArray, brain: MaskArray) -> None:
    for down, across in ((5, 0), (22, 20), (22, -20), (-5, 18), (-5, -18)):
        voxels[8:11, np.hypot(DOWN - down, ACROSS - across) < 4] = 250.0
    found = _found(voxels, brain)
    assert found.vessel_ml > 1.0
    assert _reasons(found) == {}


def test_a_calcified_falx_on_every_slice_is_not_contrast(voxels: HuArray, brain: MaskArray) -> None:
    voxels[:, (np.abs(ACROSS) < 1.5) & (DOWN < -30) & (RADIUS_MM < 66)] = 200.0
    found = _found(voxels, brain)
    assert found.vessel_share > 0.9
    assert _reasons(found) == {}


def test_a_clip_is_metal_and_bone_is_not(voxels: HuArray, brain: MaskArray) -> None:
    voxels[:, RADIUS_MM > 71] = np.where(voxels[:, RADIUS_MM > 71] > 0, 2200.0, -1000.0)
    assert _reasons(_found(voxels, brain)) == {}
    voxels[8, 100:102, 80:83] = 3071.0
    found = _found(voxels, brain)
    assert found.metal_ml == pytest.approx(6 * 1.1 * 5 / 1000)
    assert _reasons(found) == {"metal": Verdict.WARN}


def test_metal_far_below_the_levels_does_not_count(voxels: HuArray, brain: MaskArray) -> None:
    voxels[1, 60:70, 60:70] = 3071.0  # a tooth
    assert _reasons(_found(voxels, brain)) == {}


@pytest.mark.parametrize(
    ("hu", "verdict"), [(115.0, Verdict.WARN), (400.0, Verdict.FAIL), (1500.0, Verdict.FAIL)]
)
def test_streaks_are_seen_though_they_break_the_brain_mask(
    voxels: HuArray, brain: MaskArray, hu: float, verdict: Verdict
) -> None:
    angle = np.arctan2(DOWN - 10, ACROSS - 20)
    far = np.hypot(DOWN - 10, ACROSS - 20)
    star = hu * np.cos(9 * angle) * np.exp(-far / 30)
    inside = RADIUS_MM < 66
    for index in LEVELS:
        voxels[index][inside] += star[inside].astype(np.float32)
        voxels[index][far < 3] = 3071.0
    found = _reasons(_found(voxels, brain & (voxels > -15) & (voxels < 110)))
    assert found == {"metal": Verdict.WARN, "streaks": verdict}


def test_air_in_the_skull_is_told_of(voxels: HuArray, brain: MaskArray) -> None:
    voxels[9, 60:66, 60:66] = -900.0
    assert _reasons(_found(voxels, brain)) == {"streaks": Verdict.WARN}


@pytest.mark.parametrize("levels", [(0, 1), (20, 21), (0, 21)])
def test_levels_at_the_ends_of_the_scan(
    voxels: HuArray, brain: MaskArray, levels: tuple[int, int]
) -> None:
    assert _reasons(_found(voxels, brain, levels)) == {}


def test_thin_noisy_slices_are_averaged(brain: MaskArray) -> None:
    thin = np.random.default_rng(2).normal(34, 20, (60, *SHAPE[1:])).astype(np.float32)
    volume = _volume(thin, 1.0)
    mask = np.broadcast_to(brain[0], thin.shape)
    found = foreign_density(volume, mask, (26, 46))
    assert found.vessel_parts == 0
    assert _reasons(found) == {}


def test_without_brain_or_skull_there_is_nothing() -> None:
    empty = np.full(SHAPE, -1000.0, dtype=np.float32)
    found = _found(empty, np.zeros(SHAPE, dtype=bool))
    assert found == ForeignDensity(
        vessel_ml=0.0, vessel_parts=0, vessel_share=0.0, metal_ml=0.0, streak_share=0.0
    )
