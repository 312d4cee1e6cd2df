"""Regions on the slices about each level: how far, and only where they fit."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from pipeline.all_slices import REACH_MM, carry, reachable
from pipeline.arrays import FloatArray
from pipeline.encode.seg import source_of_frame
from pipeline.regions import LEFT_OFFSET, Level, at_level
from pipeline.registration import Registration
from tests.pipeline.heads import HEAD, mapped, mapped_on_truth, phantom, series
from tests.pipeline.test_quality import registration
from tests.pipeline.test_run import as_bytes, seg_points

BRAIN = np.ones(40, dtype=bool)


def _even(step_mm: float) -> FloatArray:
    return np.asarray(np.arange(40) * step_mm, dtype=float)


@pytest.mark.parametrize(
    ("step_mm", "levels", "lower", "upper"),
    [
        (5.0, (10, 14), ((9, 8), (11,)), ((13,), (15, 16))),
        (5.0, (10, 13), ((9, 8), (11,)), ((12,), (14, 15))),
        (7.0, (10, 13), ((9,), (11,)), ((12,), (14,))),
        (12.0, (10, 12), ((), ()), ((), ())),
    ],
)
def test_half_the_way_to_the_other_level_and_no_further_than_10_mm(
    step_mm: float, levels: tuple[int, int], lower: object, upper: object
) -> None:
    distances = _even(step_mm)
    assert reachable(distances, BRAIN, *levels) == lower
    assert reachable(distances, BRAIN, *levels[::-1]) == upper


def test_a_side_ends_where_the_brain_ends() -> None:
    has_brain = BRAIN.copy()
    has_brain[8] = False
    below, above = reachable(_even(2.5), has_brain, 10, 30)
    assert below == (9,)
    assert above == (11, 12, 13, 14)


def _shifted(index: int, ncc: float = 0.8, folds: int = 0) -> Registration:
    good: Registration = registration(Level.GANGLIONIC, ncc=ncc, folds=folds)
    return replace(good, atlas_pixels=np.full((2, 3, 3), float(index)))


def test_slices_between_take_the_map_between() -> None:
    asked = []

    def register(index: int) -> Registration:
        asked.append(index)
        return _shifted(index, 0.7 if index == 12 else 0.9)

    distances = _even(2.0)
    found = carry(_shifted(10), distances, 10, ((), (11, 12, 13, 14)), register)
    assert asked == [12, 14]
    assert list(found) == [11, 12, 13, 14]
    for index, one in found.items():
        assert one.atlas_pixels == pytest.approx(float(index))
    assert [round(one.ncc, 2) for one in found.values()] == [0.7, 0.7, 0.7, 0.9]


@pytest.mark.parametrize(("ncc", "folds"), [(0.5, 0), (float("nan"), 0), (0.8, 2)])
def test_a_side_ends_before_the_first_slice_that_fits_badly(ncc: float, folds: int) -> None:
    def register(index: int) -> Registration:
        return _shifted(index, ncc, folds) if index == 8 else _shifted(index)

    found = carry(_shifted(10), _even(5.0), 10, ((9, 8, 7), (11,)), register)
    assert list(found) == [9, 11]


@pytest.mark.timeout(240)
def test_a_phantom_has_further_frames_of_the_same_segments() -> None:
    levels = phantom(HEAD).levels
    both = levels[Level.GANGLIONIC], levels[Level.SUPRAGANGLIONIC]
    plain = mapped_on_truth(HEAD)
    wide = mapped(series(HEAD), both, all_slices=True)
    assert plain.region_map.neighbours == ()
    carried = wide.region_map.neighbours
    assert {one.level for one in carried} == set(Level)
    assert len(carried) >= 4
    for one in carried:
        away = series(HEAD).distances_mm[one.slice_index]
        away = abs(away - series(HEAD).distances_mm[levels[one.level]])
        assert 0 < away <= REACH_MM
        assert set(np.unique(one.labels)) <= {0, *(item.number for item in at_level(one.level))}
        # about as much of the brain as on the level
        on_level = (wide.region_map.levels[one.level].labels > 0).sum()
        assert (one.labels > 0).sum() == pytest.approx(on_level, rel=0.4)
    # what is measured stays
    assert wide.measurements == plain.measurements
    assert wide.sr.SOPInstanceUID != plain.sr.SOPInstanceUID
    assert b"The regions are carried to" in as_bytes(wide.sr)
    assert b"The regions are carried to" not in as_bytes(plain.sr)
    seg = dcmread(BytesIO(as_bytes(wide.seg)))
    assert len(seg.SegmentSequence) == 20
    slices = {source_of_frame(frame) for frame in seg.PerFrameFunctionalGroupsSequence}
    uids = series(HEAD).sop_instance_uids
    assert slices == {uids[index] for index in (*both, *(one.slice_index for one in carried))}
    for number, points in seg_points(seg).items():
        x = points[:, 0].mean()
        assert (x > 5) if number > LEFT_OFFSET else (x < -5)
