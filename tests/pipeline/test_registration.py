"""The atlas against slices whose place in it is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipeline import registration_greedy
from pipeline.atlas import AgeGroup, Atlas
from pipeline.head_frame import framed_atlas
from pipeline.mapping import map_labels
from pipeline.regions import Level, at_level
from pipeline.registration import Registration, register
from pipeline.registration_greedy import fit_affine, plain_affine
from tests.pipeline.heads import dice, tools


def _atlas(group: AgeGroup, level: Level) -> Atlas:
    return tools().atlases.get(group, level)


def _brain(atlas: Atlas) -> np.ndarray:
    return np.asarray(ndimage.binary_fill_holes(atlas.template > 0))


def _onto(fixed: Atlas, moving: Atlas) -> Registration:
    return register(fixed.template, _brain(fixed), fixed.spacing_mm, moving)


def _mean_dice(fixed: Atlas, moving: Atlas) -> float:
    labels = map_labels(moving, _onto(fixed, moving), _brain(fixed))
    return float(np.mean([dice(labels, fixed.labels, x.number) for x in at_level(fixed.level)]))


@pytest.mark.parametrize("level", Level)
def test_an_atlas_finds_itself(level: Level) -> None:
    atlas = _atlas(AgeGroup.AGE_50_69, level)
    found = _onto(atlas, atlas)
    rows, columns = np.mgrid[: atlas.labels.shape[0], : atlas.labels.shape[1]]
    inside = atlas.labels > 0
    off = np.hypot(found.atlas_pixels[0] - rows, found.atlas_pixels[1] - columns)[inside]
    assert off.mean() < 1.0
    assert found.ncc > 0.95
    assert found.folds == 0
    assert found.affine_scale == pytest.approx((1, 1), abs=0.02)
    assert abs(found.affine_rotation_degrees) < 1
    assert not found.atlas_pixels.flags.writeable


@pytest.mark.parametrize(
    ("fixed", "moving"),
    [(AgeGroup.AGE_50_69, AgeGroup.AGE_30_49), (AgeGroup.AGE_70_89, AgeGroup.AGE_10_29)],
)
def test_labels_of_one_age_fit_another(fixed: AgeGroup, moving: AgeGroup) -> None:
    for level in Level:
        assert _mean_dice(_atlas(fixed, level), _atlas(moving, level)) > 0.84


def test_a_fit_that_ran_away_is_sought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving = (
        framed_atlas(_atlas(group, Level.GANGLIONIC))
        for group in (AgeGroup.AGE_50_69, AgeGroup.AGE_30_49)
    )
    usual, _ = plain_affine(fit_affine(fixed, moving))
    monkeypatch.setattr(registration_greedy, "_AFFINE_RATES", (400.0,))
    start, _ = plain_affine(fit_affine(fixed, moving))
    monkeypatch.setattr(registration_greedy, "_AFFINE_RATES", (400.0, 0.5))
    again, _ = plain_affine(fit_affine(fixed, moving))
    assert start == pytest.approx(np.diag(np.divide(moving.extent_mm, fixed.extent_mm)), abs=0.1)
    assert again == pytest.approx(usual, abs=0.02)
    assert again != pytest.approx(start, abs=1e-3)


def test_same_input_same_map() -> None:
    one, other = (_atlas(group, Level.GANGLIONIC) for group in list(AgeGroup)[1:3])
    first, second = _onto(one, other), _onto(one, other)
    assert (first.atlas_pixels == second.atlas_pixels).all()
    assert first.ncc == second.ncc


def test_pixels_need_not_be_square() -> None:
    atlas = _atlas(AgeGroup.AGE_50_69, Level.GANGLIONIC)
    row_mm, column_mm = atlas.spacing_mm
    thin = ndimage.zoom(atlas.template, (0.5, 1), order=1, grid_mode=True, mode="nearest")
    brain = np.asarray(ndimage.binary_fill_holes(thin > 2))
    found = register(thin, brain, (2 * row_mm, column_mm), atlas)
    labels = map_labels(atlas, found, brain)
    expected = atlas.labels[::2][: labels.shape[0]]
    scores = [dice(labels, expected, item.number) for item in at_level(Level.GANGLIONIC)]
    assert np.mean(scores) > 0.9


@pytest.mark.parametrize("turn", [-25, 25])
def test_a_turned_slice_is_turned_back(turn: float) -> None:
    atlas = _atlas(AgeGroup.AGE_50_69, Level.GANGLIONIC)
    slab, labels = (
        ndimage.rotate(np.pad(plane, 60), turn, reshape=False, order=order)
        for plane, order in ((atlas.template, 1), (atlas.labels, 0))
    )
    brain = np.asarray(ndimage.binary_fill_holes(slab > 2))
    found = map_labels(atlas, register(slab, brain, atlas.spacing_mm, atlas), brain)
    scores = [dice(found, labels, item.number) for item in at_level(Level.GANGLIONIC)]
    assert min(scores) > 0.8
