"""A turned head is found to be turned, by as much and to the same side."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from pipeline.arrays import HuArray, MaskArray
from pipeline.brain import extract_brain
from pipeline.midline import Midline, align_midline
from pipeline.phantom import Pose, SliceBlock
from pipeline.series import load_series
from pipeline.volume import Volume, to_volume
from tests.pipeline.heads import HEAD, SHARED_DATA, SMALL, series

TURNS = [-30, -17, -5, 0, 8, 21, 30]
UPPER = replace(SMALL, blocks=(SliceBlock(count=8),), first_z_mm=15.0)


def _of(volume: Volume) -> Midline:
    view = volume.view
    brain = extract_brain(volume)
    spacing = view.spacing(volume.pixel_spacing_mm)
    return align_midline(view.apply(volume.voxels), view.apply(brain), spacing)


@pytest.mark.parametrize("yaw", TURNS)
def test_a_turned_phantom(yaw: int) -> None:
    spec = replace(HEAD, acquisition=UPPER, pose=Pose(yaw_deg=yaw), sub_samples=1)
    # yaw turns the face to the left, which is the right edge of the view
    assert _of(to_volume(series(spec))).angle_degrees == pytest.approx(yaw, abs=1.5)


def test_a_shifted_phantom() -> None:
    spec = replace(HEAD, acquisition=UPPER, pose=Pose(shift_mm=(12.0, 5.0, 0.0)), sub_samples=1)
    midline = _of(to_volume(series(spec)))
    middle = (SMALL.columns - 1) / 2 * SMALL.pixel_spacing_mm[1]
    angle = np.radians(midline.angle_degrees)
    # where the midline passes the row of the head's own middle
    down_mm = (midline.point[0] - (SMALL.rows - 1) / 2) * SMALL.pixel_spacing_mm[0]
    across_mm = midline.point[1] * SMALL.pixel_spacing_mm[1] - middle + down_mm * np.tan(angle)
    assert across_mm == pytest.approx(12.0, abs=2.0)


@cache
def _slab() -> tuple[HuArray, MaskArray, float]:
    """Six slices of a real head on square pixels, and its own turn."""
    folder = SHARED_DATA / "ct-ge"
    volume = to_volume(load_series([dcmread(path) for path in sorted(folder.glob("*.dcm"))]))
    brain = extract_brain(volume)
    part = slice(14, 20)
    voxels = ndimage.zoom(volume.voxels[part], (1, 0.5, 0.5), order=1)
    mask = ndimage.zoom(brain[part].astype("f4"), (1, 0.5, 0.5), order=1) > 0.5
    angle = align_midline(voxels, mask, _spacing()).angle_degrees
    return voxels, mask, angle


def _spacing() -> tuple[float, float]:
    one = dcmread(SHARED_DATA / "ct-ge/01.dcm", stop_before_pixels=True)
    row, column = (2 * float(value) for value in one.PixelSpacing)
    return row, column


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_real_head(ct_ge: list[Path], turn: int) -> None:
    voxels, mask, own = _slab()
    spacing = _spacing()
    assert spacing[0] == spacing[1]
    # in (row, column) axes a positive angle of the image turns the front to the right edge
    turned = ndimage.rotate(voxels, -turn, axes=(1, 2), reshape=False, order=1, cval=-1000)
    mask_turned = ndimage.rotate(mask.astype("f4"), -turn, axes=(1, 2), reshape=False, order=1)
    found = align_midline(turned, mask_turned > 0.5, spacing).angle_degrees
    assert abs(own) < 15
    assert found == pytest.approx(own + turn, abs=1.5)


def test_to_pixels_has_the_heads_own_axes() -> None:
    midline = Midline(angle_degrees=20.0, point=(50.0, 40.0), asymmetry=0.0)
    matrix = midline.to_pixels((0.5, 0.4))
    assert matrix @ (0, 0, 1) == pytest.approx((50, 40))
    forward_mm = (matrix @ (-10, 0, 1) - (50, 40)) * (0.5, 0.4)
    # the front end of the midline points up and to the right edge
    assert forward_mm == pytest.approx((-10 * np.cos(0.349066), 10 * np.sin(0.349066)), abs=1e-4)
    across_mm = (matrix @ (0, 10, 1) - (50, 40)) * (0.5, 0.4)
    assert across_mm @ forward_mm == pytest.approx(0, abs=1e-9)
    assert across_mm[1] > 0
