from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.localizer.frames import GROUP_MM, groups, head_box, to_frames
from tests.pipeline.localizer.heads import ellipse_head, positions


@given(st.lists(st.floats(0.4, 12), min_size=0, max_size=60))
def test_groups_are_a_partition_and_stay_thin(steps: list[float]) -> None:
    distances = np.concatenate([[0.0], np.cumsum(steps)])
    found = groups(distances)
    assert [index for part in found for index in range(part.start, part.stop)] == [
        *range(len(distances))
    ]
    assert all(
        distances[part.stop - 1] - distances[part.start] < GROUP_MM
        for part in found
        if part.stop - part.start > 1
    )


def test_thick_slices_are_left_alone() -> None:
    distances = np.array([0, 4, 8, 12, 19, 26.0])
    assert len(groups(distances)) == len(distances)


def test_the_box_follows_the_head_not_the_table() -> None:
    voxels = ellipse_head(size=128, centre=(10, -14))
    voxels[:, 120:122, 8:120] = 400
    box = head_box(voxels, (2.4, 2.4))
    assert box.row_mm == pytest.approx(63.5 * 2.4 + 10, abs=5)
    assert box.column_mm == pytest.approx(63.5 * 2.4 - 14, abs=5)
    assert box.length_mm == pytest.approx(180, abs=10)


def test_air_gives_the_whole_picture() -> None:
    box = head_box(np.full((3, 40, 60), -1000, np.float32), (1.0, 1.0))
    assert (box.row_mm, box.column_mm, box.length_mm) == (20, 30, 60)


def test_the_pixel_spacing_cancels_out() -> None:
    distances = positions(24, 5.0)
    coarse = to_frames(ellipse_head(size=96, spacing_mm=2.4), distances, (2.4, 2.4), 64)
    fine = to_frames(ellipse_head(size=320, spacing_mm=0.8), distances, (0.8, 0.8), 64)
    misstated = to_frames(ellipse_head(size=320, spacing_mm=0.8), distances, (1.1, 1.1), 64)
    for other in (fine, misstated):
        assert np.corrcoef(coarse.images.ravel(), other.images.ravel())[0, 1] > 0.94


def test_thin_slices_are_averaged() -> None:
    voxels = np.repeat(ellipse_head(6), 4, axis=0)
    voxels[1::2] += 20
    voxels[::2] -= 20
    frames = to_frames(voxels, positions(24, 1.25), (2.4, 2.4), 32)
    thick = to_frames(ellipse_head(6), positions(6, 5.0), (2.4, 2.4), 32)
    assert frames.positions_mm.tolist() == pytest.approx([1.875 + 5 * k for k in range(6)])
    brain = np.s_[:, 14:18, 14:18]
    assert np.abs(frames.images[brain] - thick.images[brain]).max() < 1


def test_between_far_slices_stands_the_mean_of_both() -> None:
    voxels = ellipse_head(4)
    voxels = voxels + 10 * np.arange(4, dtype=np.float32)[:, None, None]
    frames = to_frames(voxels, np.array([0.0, 5, 10, 18]), (2.4, 2.4), 32)
    assert frames.positions_mm.tolist() == [0, 5, 10, 14, 18]
    np.testing.assert_allclose(frames.images[3], (frames.images[2] + frames.images[4]) / 2)
