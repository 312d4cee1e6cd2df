"""How well a template fits a slice after a turn, on coarse pictures.

Seen whole and blurred, two brains show at once which turn is nearly right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray
from pipeline.head_frame import OUTSIDE_HU, Framed, as_image

_SHRINK: Final = 4
_SMOOTH_VOXELS: Final = 2.0


def turned(fixed: Framed, moving: Framed, turn_degrees: float) -> sitk.AffineTransform:
    """Fit the brains' extents, after a turn about the middle of the brain.

    Parameters
    ----------
    fixed, moving : Framed
    turn_degrees : float

    Returns
    -------
    SimpleITK.AffineTransform
        From points (across, down) in mm of the fixed frame to the moving one's.
    """
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


def likeness_by_turn(fixed: Framed, moving: Framed) -> Callable[[float], float]:
    """Prepare two pictures to be compared at many turns.

    Parameters
    ----------
    fixed : Framed
        The slice.
    moving : Framed
        The template.

    Returns
    -------
    callable
        From a turn in degrees to the correlation inside the brain; 0 where the
        brain is too small for one.
    """
    template, target = _coarse(moving.hu), _coarse(fixed.hu)
    inside = sitk.GetArrayFromImage(
        sitk.Shrink(as_image(fixed.brain.astype(np.float32)), [_SHRINK] * 2)
    )
    core = ndimage.binary_erosion(inside > 0.5)
    wanted = sitk.GetArrayFromImage(target)[core]

    def likeness(turn_degrees: float) -> float:
        if wanted.size < 2:
            return 0.0
        start = turned(fixed, moving, turn_degrees)
        moved = sitk.Resample(template, target, start, sitk.sitkLinear, OUTSIDE_HU)
        return float(np.corrcoef(wanted, sitk.GetArrayFromImage(moved)[core])[0, 1])

    return likeness


def _coarse(hu: HuArray) -> sitk.Image:
    return sitk.Shrink(as_image(ndimage.gaussian_filter(hu, _SMOOTH_VOXELS)), [_SHRINK] * 2)
