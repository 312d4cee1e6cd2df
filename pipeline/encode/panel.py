"""Draw one level: the slice in the radiologist's view, with or without its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, LabelArray, MaskArray
from pipeline.regions import RegionSide, region_side
from pipeline.volume import Volume

Window = tuple[slice, slice]
"""Rows and columns of a panel."""
RgbArray = npt.NDArray[np.uint8]
"""A picture, shape (row, column, 3): red, green, blue."""

PANEL: Final = (640, 560)
"""Rows and columns of a panel, in display pixels."""
WINDOW: Final = (40.0, 80.0)
"""Centre and width in HU."""

_HEAD_HU: Final = -200.0
_MARGIN: Final = 1.07
_FILL: Final = 0.15
_LINE: Final = 2
_SMOOTHING: Final = 1.5
_BORDER: Final = 8
_NAME_SIZES: Final = (13, 18)
_AIR_HU: Final = -1024.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The part of the slices that is shown, the same for both levels.

    Attributes
    ----------
    centre_mm : tuple of float
        Along rows and columns of the view, from its first pixel.
    mm_per_pixel : float
        Of the display, the same in both directions.
    """

    centre_mm: tuple[float, float]
    mm_per_pixel: float

    def coordinates(self, spacing_mm: tuple[float, float]) -> FloatArray:
        """Return where each display pixel lies in the view's array.

        Returns
        -------
        numpy.ndarray, shape (2, row, column), float64
            Row and column indices.
        """
        axes = [
            (self.centre_mm[axis] + (np.arange(size) - (size - 1) / 2) * self.mm_per_pixel)
            / spacing_mm[axis]
            for axis, size in enumerate(PANEL)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


def common_field(volume: Volume, indices: Sequence[int]) -> Field:
    """Find the part of the slices that holds the head on all of them.

    Parameters
    ----------
    volume : Volume
    indices : sequence of int
        Slice indices.
    """
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    head = np.any([_head(volume.view.apply(volume.voxels[index])) for index in indices], axis=0)
    bounds = [np.flatnonzero(head.any(axis=1 - axis))[[0, -1]] * spacing[axis] for axis in (0, 1)]
    scale = max((bounds[axis][1] - bounds[axis][0]) / PANEL[axis] for axis in (0, 1))
    return Field(
        centre_mm=(float(bounds[0].mean()), float(bounds[1].mean())),
        mm_per_pixel=max(float(scale) * _MARGIN, 1e-3),
    )


def _head(slice_hu: HuArray) -> MaskArray:
    """Return the largest thing that is not air; the whole slice if there is none."""
    parts, count = ndimage.label(slice_hu > _HEAD_HU)
    if count == 0:
        return np.ones(slice_hu.shape, dtype=bool)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    mask: MaskArray = parts == int(sizes.argmax())
    return mask


def plain_panel(volume: Volume, index: int, field: Field) -> RgbArray:
    """Return one slice in the window, right side of the patient at the left.

    Returns
    -------
    numpy.ndarray, shape (row, column, 3), uint8
    """
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    slice_hu = volume.view.apply(volume.voxels[index])
    shown = ndimage.map_coordinates(
        slice_hu, field.coordinates(spacing), order=1, mode="constant", cval=_AIR_HU
    )
    centre, width = WINDOW
    grey = np.clip((shown - centre) / width + 0.5, 0.0, 1.0) * 255.0
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def region_panel(plain: RgbArray, volume: Volume, labels: LabelArray, field: Field) -> RgbArray:
    """Return the panel with its regions: tinted, outlined, named.

    Parameters
    ----------
    plain : numpy.ndarray, shape (row, column, 3), uint8
        What ``plain_panel`` made of the slice.
    volume : Volume
    labels : numpy.ndarray, shape (row, column), uint8
        Region numbers on the native grid.
    field : Field

    Returns
    -------
    numpy.ndarray, shape (row, column, 3), uint8
    """
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    coordinates = field.coordinates(spacing)
    view = volume.view.apply(labels)
    numbers = [number for number in np.unique(labels).tolist() if number]
    masks = {number: _smooth_mask(view == number, coordinates) for number in numbers}
    picture = plain.astype(np.float64)
    for number, (window, mask) in masks.items():
        _paint(picture[window], mask, region_side(number))
    drawn = Image.fromarray(np.rint(picture).astype(np.uint8))
    canvas = ImageDraw.Draw(drawn)
    for number, (window, mask) in masks.items():
        if mask.any():
            _name(canvas, window, mask, region_side(number))
    return np.asarray(drawn)


def _smooth_mask(mask: MaskArray, coordinates: FloatArray) -> tuple[Window, MaskArray]:
    """Resample a region to the display without its pixel steps.

    Returns
    -------
    tuple
        The part of the panel in which the region lies, and the region there.
    """
    window = _window(mask, coordinates)
    part = coordinates[(slice(None), *window)]
    shown: FloatArray = ndimage.map_coordinates(mask.astype(np.float64), part, order=1)
    smooth: MaskArray = ndimage.gaussian_filter(shown, _SMOOTHING) > 0.5
    return window, smooth


def _window(mask: MaskArray, coordinates: FloatArray) -> Window:
    """Return the rows and columns of the panel that can show a region."""
    axes = (coordinates[0, :, 0], coordinates[1, 0, :])
    sides = []
    for axis, places in enumerate(axes):
        found = np.flatnonzero(mask.any(axis=1 - axis))
        first, last = np.searchsorted(places, (found[0] - 1, found[-1] + 1))
        sides.append(slice(max(int(first) - _BORDER, 0), int(last) + _BORDER))
    return sides[0], sides[1]


def _paint(picture: FloatArray, mask: MaskArray, region: RegionSide) -> None:
    colour = np.asarray(region.rgb, dtype=float)
    inner = ndimage.binary_erosion(mask, iterations=_LINE)
    picture[mask] = picture[mask] * (1.0 - _FILL) + colour * _FILL
    picture[mask & ~inner] = colour


def _name(canvas: ImageDraw.ImageDraw, window: Window, mask: MaskArray, region: RegionSide) -> None:
    """Write the region's name where it has most room."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), mask.shape)
    small, large = _NAME_SIZES
    canvas.text(
        (window[1].start + int(column), window[0].start + int(row)),
        str(region.region),
        font=font(large if depth.max() > large else small),
        fill=(255, 255, 255),
        stroke_width=2,
        stroke_fill=(0, 0, 0),
        anchor="mm",
    )


def font(size: int) -> Any:
    """Return the typeface that comes with Pillow, the same on every machine."""
    return ImageFont.load_default(size=size)
