"""Try the template turned by half a circle: a wrong header turns front to back."""

from __future__ import annotations

from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import FloatArray
from pipeline.head_frame import OUTSIDE_HU, Framed, as_image

_SHRINK: Final = 4
_SMOOTH_MM: Final = 2.0
_TURNS_DEGREES: Final = tuple(float(turn) for turn in range(-24, 25, 6))


def half_turn_gain(fixed: Framed, moving: Framed) -> float:
    """Measure how much better the template fits when it is turned by 180 degrees.

    Parameters
    ----------
    fixed : Framed
        The slice.
    moving : Framed
        The template.

    Returns
    -------
    float
        Difference of two correlations inside the brain, each the best of turns
        by up to 24 degrees: negative for a slice that lies as it should.
    """
    template = sitk.Shrink(as_image(ndimage.gaussian_filter(moving.hu, _SMOOTH_MM)), [_SHRINK] * 2)
    target = sitk.Shrink(as_image(ndimage.gaussian_filter(fixed.hu, _SMOOTH_MM)), [_SHRINK] * 2)
    inside = sitk.GetArrayFromImage(
        sitk.Shrink(as_image(fixed.brain.astype(np.float32)), [_SHRINK] * 2)
    )
    core = ndimage.binary_erosion(inside > 0.5)
    wanted = sitk.GetArrayFromImage(target)[core]
    if wanted.size < 2:
        return 0.0

    def likeness(turn_degrees: float) -> float:
        moved = sitk.Resample(
            template, target, _turned(fixed, moving, turn_degrees), sitk.sitkLinear, OUTSIDE_HU
        )
        return float(np.corrcoef(wanted, sitk.GetArrayFromImage(moved)[core])[0, 1])

    upright = max(map(likeness, _TURNS_DEGREES))
    return max(likeness(turn + 180.0) for turn in _TURNS_DEGREES) - upright


def _turned(fixed: Framed, moving: Framed, turn_degrees: float) -> sitk.AffineTransform:
    """Fit the brains' extents after a turn about the middle of the brain."""
    angle = np.radians(turn_degrees)
    turn: FloatArray = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    down, across = np.divide(moving.extent_mm, fixed.extent_mm)
    transform = sitk.AffineTransform(2)
    transform.SetMatrix((np.diag([across, down]) @ turn).ravel().tolist())
    transform.SetCenter((fixed.middle_mm[1], fixed.middle_mm[0]))
    transform.SetTranslation(
        (moving.middle_mm[1] - fixed.middle_mm[1], moving.middle_mm[0] - fixed.middle_mm[0])
    )
    return transform
