"""Look for a gap in the skull around the brain: a craniectomy, or a cut-off picture."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import HuArray, MaskArray

_BONE_HU: Final = 150.0
_RAYS: Final = 180
_REACH_MM: Final = 30.0
_STEP_MM: Final = 1.0


def skull_gap_degrees(hu: HuArray, brain: MaskArray, spacing_mm: tuple[float, float]) -> float:
    """Measure the widest angle, seen from the middle of the brain, without bone.

    Parameters
    ----------
    hu : numpy.ndarray, shape (row, column), float32
    brain : numpy.ndarray, shape (row, column), bool
        Not empty.
    spacing_mm : tuple of float
        Between rows, then between columns.

    Returns
    -------
    float
        Degrees; 0 where every ray from the middle meets bone within 30 mm
        beyond the brain's edge.
    """
    middle = np.argwhere(brain).mean(axis=0)
    angles = np.arange(_RAYS) * 2 * np.pi / _RAYS
    distances = np.arange(0, 140, _STEP_MM)
    directions = np.stack((np.sin(angles), np.cos(angles)))[:, :, None] * distances
    places = middle[:, None, None] + directions / np.asarray(spacing_mm)[:, None, None]
    inside = ndimage.map_coordinates(brain.astype(np.float32), places, order=1) > 0.5
    bone = ndimage.map_coordinates(hu, places, order=1, cval=-1000.0) > _BONE_HU
    edge = np.where(inside, distances, 0.0).max(axis=1)
    near = np.abs(distances[None] - edge[:, None]) <= _REACH_MM
    return _widest(~(bone & near).any(axis=1)) * 360.0 / _RAYS


def _widest(missing: MaskArray) -> int:
    """Return the longest run of rays without bone, around the circle."""
    if missing.all():
        return len(missing)
    turned = np.roll(missing, -int(np.argmin(missing)))
    runs = np.diff(np.flatnonzero(np.concatenate(([True], ~turned, [True]))))
    return int(runs.max()) - 1
