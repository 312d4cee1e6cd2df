"""What is done to a head on purpose, and the two checks on the skull."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.atlas import AgeGroup
from pipeline.brain import extract_brain
from pipeline.head_frame import framed, framed_atlas
from pipeline.injected_failure import Failure, inject
from pipeline.midline import align_midline
from pipeline.open_skull import skull_gap_degrees
from pipeline.regions import Level
from pipeline.steadiness import jitter_mm
from pipeline.upside_down import half_turn_gain
from pipeline.volume import Volume, to_volume
from tests.pipeline.heads import series, tools


def _head() -> Volume:
    return to_volume(series())


def _spoilt(failure: Failure, seed: int = 0) -> Volume:
    volume = _head()
    step_mm = float(np.median(np.diff(volume.distances_mm)))
    voxels = inject(
        np.array(volume.voxels),
        (step_mm, *volume.pixel_spacing_mm),
        failure,
        np.random.default_rng(seed),
    )
    return replace(volume, voxels=voxels)


@pytest.mark.parametrize("failure", [item for item in Failure if item is not Failure.WRONG_LEVEL])
def test_a_failure_changes_the_head_and_keeps_its_shape(failure: Failure) -> None:
    whole, spoilt = _head().voxels, _spoilt(failure).voxels
    assert spoilt.shape == whole.shape
    assert np.mean(np.abs(spoilt - whole)) > 0.05
    assert np.isfinite(spoilt).all()


def test_a_wrong_level_leaves_the_voxels() -> None:
    assert (_spoilt(Failure.WRONG_LEVEL).voxels == _head().voxels).all()


def _gap(volume: Volume, index: int) -> float:
    brain = extract_brain(_head())
    return skull_gap_degrees(volume.voxels[index], brain[index], volume.pixel_spacing_mm)


def test_a_whole_skull_has_no_gap_and_an_opened_one_has() -> None:
    index = 2 * len(_head().voxels) // 3
    assert _gap(_head(), index) < 8
    assert _gap(_spoilt(Failure.CRANIECTOMY), index) > 25


def test_a_head_that_moves_is_told_from_one_that_is_tilted() -> None:
    whole, moved = _head(), _spoilt(Failure.MOTION)
    middle = len(whole.voxels) // 2
    assert jitter_mm(whole, middle, middle + 4) < 1.0
    assert jitter_mm(moved, middle, middle + 4) > 1.5
    # the planes of a tilted gantry shift by the same step
    shifted = np.stack([np.roll(hu, index, axis=0) for index, hu in enumerate(whole.voxels)])
    assert jitter_mm(replace(whole, voxels=shifted), middle, middle + 4) < 1.0


@pytest.mark.parametrize("level", Level)
def test_a_template_turned_front_to_back_fits_better_only_upside_down(level: Level) -> None:
    atlas = tools().atlases.get(AgeGroup.AGE_50_69, level)
    other = framed_atlas(tools().atlases.get(AgeGroup.AGE_30_49, level))
    brain = np.asarray(atlas.template > 0)
    gains = []
    for hu, mask in ((atlas.template, brain), (atlas.template[::-1], brain[::-1])):
        midline = align_midline(hu[None], mask[None], atlas.spacing_mm)
        gains.append(half_turn_gain(framed(hu, mask, atlas.spacing_mm, midline), other))
    assert gains[0] < -0.05
    assert gains[1] > 0.05
