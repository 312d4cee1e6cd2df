"""The head frame: a picture sampled in millimetres along its midline and across.

Registration works there: slice and template lie upright, centred, on one grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.atlas import Atlas
from pipeline.midline import Midline, align_midline

FRAME_MM: Final = 1.0
"""Grid step of the head frame."""
OUTSIDE_HU: Final = -20.0
"""Background: well under CSF, so that the brain has an edge."""
_FRAME_HALF_MM: Final = (112, 96)  # along the midline, across it
_CLIP_HU: Final = (-5.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Framed:
    """A picture in its own head frame.

    Attributes
    ----------
    hu : numpy.ndarray, shape (down, across), float32
        Clipped; `OUTSIDE_HU` outside the brain.
    brain : numpy.ndarray, shape (down, across), bool
    to_pixels : numpy.ndarray, shape (2, 3), float64
        ``m @ (down mm, across mm, 1)`` is the (row, column) of the picture.
    extent_mm, middle_mm : tuple of float
        Size and middle of the brain, along the midline and across it.
    """

    hu: HuArray
    brain: MaskArray
    to_pixels: FloatArray
    extent_mm: tuple[float, float]
    middle_mm: tuple[float, float]


@lru_cache(maxsize=16)
def framed_atlas(atlas: Atlas) -> Framed:
    """Sample a template in its head frame; once for each atlas."""
    brain = np.asarray(ndimage.binary_fill_holes(atlas.template > 0))
    midline = align_midline(atlas.template[None], brain[None], atlas.spacing_mm)
    # holes in the template are CSF that was rounded down to the background
    return framed(atlas.template, brain, atlas.spacing_mm, midline)


def framed(
    hu: HuArray, brain: MaskArray, spacing_mm: tuple[float, float], midline: Midline
) -> Framed:
    """Sample a slice in its head frame.

    Parameters
    ----------
    hu : numpy.ndarray, shape (row, column), float32
        Radiologist's view.
    brain : numpy.ndarray, shape (row, column), bool
    spacing_mm : tuple of float
        Between rows, then between columns.
    midline : Midline
    """
    to_pixels = midline.to_pixels(spacing_mm)
    inside = (np.argwhere(brain) - to_pixels[:, 2]) @ np.linalg.inv(to_pixels[:, :2]).T
    low, high = np.percentile(inside, [0.5, 99.5], axis=0)
    pixels = to_pixels @ frame_points()
    sigma = tuple(0.45 * FRAME_MM / step for step in spacing_mm)
    clipped = np.where(brain, np.clip(hu, *_CLIP_HU), OUTSIDE_HU).astype(np.float32)
    smooth = ndimage.gaussian_filter(clipped, sigma)
    shape = frame_shape()
    sampled = ndimage.map_coordinates(smooth, pixels, order=1, cval=OUTSIDE_HU)
    mask = ndimage.map_coordinates(brain.astype(np.float32), pixels, order=1)
    return Framed(
        hu=sampled.reshape(shape).astype(np.float32),
        brain=mask.reshape(shape) > 0.5,
        to_pixels=to_pixels,
        extent_mm=(float(high[0] - low[0]), float(high[1] - low[1])),
        middle_mm=(float(high[0] + low[0]) / 2, float(high[1] + low[1]) / 2),
    )


def frame_shape() -> tuple[int, int]:
    """Return the number of grid points along the midline and across it."""
    down, across = (int(2 * half / FRAME_MM) + 1 for half in _FRAME_HALF_MM)
    return down, across


def frame_points() -> FloatArray:
    """Return the grid as homogeneous (down, across, 1) in mm, shape (3, points)."""
    down, across = (
        np.arange(size) * FRAME_MM - half
        for size, half in zip(frame_shape(), _FRAME_HALF_MM, strict=True)
    )
    grid = np.stack(np.meshgrid(down, across, indexing="ij")).reshape(2, -1)
    return np.vstack((grid, np.ones(grid.shape[1])))


def as_image(array: HuArray) -> sitk.Image:
    """Wrap a frame as an ITK image whose points are (across, down) in mm."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((FRAME_MM, FRAME_MM))
    image.SetOrigin((-float(_FRAME_HALF_MM[1]), -float(_FRAME_HALF_MM[0])))
    return image


def frame_index(points_mm: FloatArray) -> FloatArray:
    """Turn (down, across) in mm, shape (2, ...), into grid indices."""
    half = np.array(_FRAME_HALF_MM, dtype=float).reshape(2, *[1] * (points_mm.ndim - 1))
    return np.asarray((points_mm + half) / FRAME_MM)
