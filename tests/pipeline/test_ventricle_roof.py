"""Where the lateral ventricles end, on phantoms and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.arrays import FloatArray
from pipeline.brain import extract_brain
from pipeline.midline import align_head
from pipeline.regions import Level
from pipeline.series import load_series
from pipeline.ventricle_roof import _darkest, paramedian_darkness, roof_evidence
from pipeline.volume import Volume, to_volume
from tests.pipeline.heads import datasets, phantom
from tests.pipeline.test_levels import CASES

STEP_MM = 5.0


def steps(count: int, step_mm: float = STEP_MM) -> FloatArray:
    return np.arange(count, dtype=np.float64) * step_mm


def on_both_sides(*hu: float) -> FloatArray:
    return np.array([hu, hu])


def measured(case: str) -> tuple[Volume, FloatArray]:
    volume = to_volume(load_series(datasets(CASES[case])))
    brain = extract_brain(volume)
    return volume, paramedian_darkness(volume, brain, align_head(volume, brain))


def test_ventricles_are_dark_and_white_matter_is_not() -> None:
    _, darkness = measured("60 years")
    level = phantom(CASES["60 years"]).levels[Level.SUPRAGANGLIONIC]
    assert (darkness[:, level - 1 : level + 1] > 15).all()
    assert (darkness[:, level + 2] < 8).all()
    # neither the neck nor the air above the head
    assert np.isnan(darkness[:, [0, -1]]).all()


def test_the_sides_are_told_apart() -> None:
    spec = CASES["60 years"]
    volume = to_volume(load_series(datasets(spec)))
    brain = extract_brain(volume)
    midline = align_head(volume, brain)
    level = phantom(spec).levels[Level.SUPRAGANGLIONIC] + 2
    voxels = volume.voxels.copy()
    view = volume.view.apply(voxels)[level]
    to_pixels = midline.to_pixels(volume.view.spacing(volume.pixel_spacing_mm))
    rows, columns = np.indices(view.shape)
    centre = to_pixels @ (0.0, 15.0, 1.0)
    view[np.hypot(rows - centre[0], columns - centre[1]) < 10] = 5.0
    right, left = paramedian_darkness(replace(volume, voxels=voxels), brain, midline)[:, level]
    assert right < 10 < 15 < left


@pytest.mark.parametrize("case", ["20 years", "60 years", "tilt -10", "turned and small", "8 mm"])
def test_the_last_slice_with_ventricles_is_the_level_or_beside_it(case: str) -> None:
    volume, found = measured(case)
    evidence = roof_evidence(found, volume.distances_mm)
    assert abs(int(evidence.argmax()) - phantom(CASES[case]).levels[Level.SUPRAGANGLIONIC]) <= 1


def test_the_last_dark_slice_is_the_likeliest() -> None:
    evidence = roof_evidence(on_both_sides(20, 20, 14, 3, 2, 3), steps(6))
    assert evidence.argmax() == 2
    assert (evidence <= 0).all()


def test_an_infarct_on_one_side_is_no_ventricle() -> None:
    darkness = np.array([[20.0, 20, 14, 3, 2], [20.0, 20, 14, 12, 2]])
    assert roof_evidence(darkness, steps(5)).argmax() == 2


def test_dark_white_matter_beside_wide_ventricles_is_no_ventricle() -> None:
    wide = roof_evidence(on_both_sides(24, 24, 24, 22, 8, 8, 7), steps(7))
    narrow = roof_evidence(on_both_sides(12, 12, 12, 12, 8, 2, 2), steps(7))
    assert wide.argmax() == 3
    assert narrow.argmax() == 4


def test_of_thick_slices_the_next_one_counts() -> None:
    evidence = roof_evidence(on_both_sides(20, 20, 12, 3, 3), steps(5, 10.0))
    assert evidence.argmax() == 2


def test_thin_slices_within_a_usual_one_are_alike() -> None:
    dark = np.where(steps(40, 1.0) <= 20, 20.0, 2.0)
    evidence = roof_evidence(np.stack((dark, dark)), steps(40, 1.0))
    np.testing.assert_allclose(evidence[17:20], evidence[20], atol=0.1)
    assert evidence[10] < evidence[20] - 2
    assert evidence[25] < evidence[20] - 2


@pytest.mark.parametrize("hu", [0.0, 3.0, 20.0, np.nan])
@pytest.mark.parametrize("count", [1, 5])
def test_evidence_is_bounded(hu: float, count: int) -> None:
    evidence = roof_evidence(np.full((2, count), hu), steps(count))
    assert evidence.shape == (count,)
    assert (evidence >= np.log(0.05)).all()
    assert (evidence <= 0).all()


def test_where_there_is_no_brain_nothing_is_known() -> None:
    evidence = roof_evidence(on_both_sides(np.nan, 20, 20, np.nan, 3, 3, np.nan), steps(7))
    assert evidence.argmax() == 2
    assert evidence[0] == evidence[3] == evidence[6] == pytest.approx(np.log(0.05))
    assert (roof_evidence(on_both_sides(np.nan, np.nan), steps(2)) == 0).all()


def test_a_scan_that_ends_within_the_ventricles_has_no_sure_roof() -> None:
    cut = roof_evidence(on_both_sides(20, 20, 20, 20), steps(4))
    whole = roof_evidence(on_both_sides(20, 20, 20, 20, 2), steps(5))
    assert cut.argmax() == whole.argmax() == 3
    assert cut[3] < np.log(0.55) < np.log(0.9) < whole[3]


@pytest.mark.parametrize("count", [1, 39, 40, 41, 200])
def test_the_darkest_are_taken_where_there_are_enough(count: int) -> None:
    hu = np.arange(count, dtype=np.float64)[::-1]
    expected = 19.5 if count >= 40 else 33.0
    assert _darkest(hu, otherwise=33.0) == expected


def test_thin_slices_show_where_the_ventricles_end() -> None:
    volume, found = measured("2.5 mm")
    evidence = roof_evidence(found, volume.distances_mm)
    level = phantom(CASES["2.5 mm"]).levels[Level.SUPRAGANGLIONIC]
    assert abs(int(evidence.argmax()) - level) <= 2
