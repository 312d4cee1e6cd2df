from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.localizer.appearance import cut_mix, vary
from pipeline.localizer.evaluate import rescan
from pipeline.localizer.simulate import (
    InPlane,
    Plane,
    Pose,
    Scan,
    Stack,
    draw_offsets,
    draw_pose,
    reslice,
)
from tests.pipeline.localizer.heads import labelled


def ramp(axis: int) -> Stack:
    """A cube whose value is its coordinate along one axis, in mm from the pivot."""
    index = torch.arange(41, dtype=torch.float32) - 20
    shape = [1, 1, 1]
    shape[axis] = -1
    return Stack(
        voxels=(index * 2).reshape(shape).expand(41, 41, 41).contiguous(),
        spacing_mm=(2.0, 2.0, 2.0),
        pivot_mm=(40.0, 40.0, 40.0),
    )


PLANE = Plane(pixels=5, side_mm=10)


def test_without_a_pose_the_volume_comes_back() -> None:
    offsets = np.array([-4.0, 0, 7])
    assert reslice(ramp(0), Pose(), offsets, PLANE)[:, 2, 2].tolist() == pytest.approx([-4, 0, 7])
    rows = reslice(ramp(1), Pose(), offsets, PLANE)[0, :, 2]
    assert rows.tolist() == pytest.approx([-4, -2, 0, 2, 4], abs=1e-4)


@pytest.mark.parametrize("sheared", [False, True])
def test_the_level_is_at_the_compressed_distance(sheared: bool) -> None:
    pose = Pose(tilt_deg=15, roll_deg=-8, yaw_deg=20, sheared=sheared)
    # along the pivot's axis the slice through height 12 has the offset 12 * compression
    offset = np.array([12 * pose.compression])
    found = reslice(ramp(0), pose, offset, Plane(pixels=201, side_mm=40))[0]
    rows, columns = (
        reslice(ramp(axis), pose, offset, Plane(pixels=201, side_mm=40))[0] for axis in (1, 2)
    )
    middle = torch.argmin(rows**2 + columns**2)
    assert float(found.flatten()[middle]) == pytest.approx(12, abs=0.1)


def test_a_tilted_slice_is_a_plane_at_its_angle() -> None:
    found = reslice(ramp(0), Pose(tilt_deg=10), np.array([0.0]), PLANE)[0, :, 2]
    slope = float(found[-1] - found[0]) / 8
    assert abs(slope) == pytest.approx(np.sin(np.radians(10)), abs=1e-3)


def test_a_flip_mirrors_columns() -> None:
    plain = reslice(ramp(2), Pose(), np.array([0.0]), PLANE)
    flipped = reslice(ramp(2), Pose(in_plane=InPlane(flipped=True)), np.array([0.0]), PLANE)
    torch.testing.assert_close(flipped, plain.flip(-1))


@pytest.mark.parametrize("scan", list(Scan))
def test_simulated_scans_keep_their_levels(scan: Scan) -> None:
    head = labelled("egg")
    again = rescan(head, scan)
    assert again.voxels.shape[0] == len(again.distances_mm)
    assert (np.diff(again.distances_mm) > 0).all()
    low, high = again.levels_mm
    assert -0.1 <= low < high <= again.distances_mm[-1] + 5
    # the ventricle is widest at mid-height, 2.5 mm above the ganglionic level
    width = [float((part[48] < 20).sum() - (part[48] < -500).sum()) for part in again.voxels]
    widest = again.distances_mm[int(np.argmax(width))]
    assert widest - low == pytest.approx(2.5, abs=max(2.6, np.diff(again.distances_mm).max()))


def test_the_same_head_is_scanned_the_same_way() -> None:
    head = labelled("egg")
    np.testing.assert_array_equal(
        rescan(head, Scan.TILTED).voxels, rescan(head, Scan.TILTED).voxels
    )
    other = rescan(replace(head, name="other"), Scan.TILTED)
    assert not np.array_equal(other.voxels, rescan(head, Scan.TILTED).voxels)


def test_drawn_fields_of_view_rise_and_hold_enough() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        offsets = draw_offsets(-80, 70, rng)
        steps = np.diff(offsets)
        assert len(offsets) >= 4
        assert (steps > 0).all()
        assert np.median(steps) > 3
        assert (steps < 10.1).all()
        assert abs(draw_pose(rng).tilt_deg) <= 22


def test_the_look_changes_not_the_place() -> None:
    rng = np.random.default_rng(6)
    images = torch.from_numpy(labelled("egg").voxels)
    air = images < -900
    for _ in range(8):
        varied = vary(images, rng)
        assert varied.shape == images.shape
        assert torch.isfinite(varied).all()
        assert varied.min() >= -1000
        # the skull stays the brightest part
        assert varied[images > 1000].mean() > varied[~air & (images < 100)].mean() + 300


def test_a_box_of_another_head_fills_its_share() -> None:
    rng = np.random.default_rng(7)
    images, other = torch.zeros((3, 40, 40)), torch.ones((3, 40, 40))
    shares = []
    for _ in range(40):
        mixed, share = cut_mix(images, other, rng)
        assert float(mixed.mean()) == pytest.approx(1 - share, abs=1e-6)
        assert (mixed == mixed[0]).all()
        shares.append(share)
    assert min(shares) < 0.4
    assert max(shares) > 0.9
    assert not images.any()
