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
_LUMA: Final = (0.299, 0.587, 0.114)
_MIN_LUMA: Final = 155.0
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
    size : tuple of int
        Rows and columns of the panel, in display pixels.
    """

    centre_mm: tuple[float, float]
    mm_per_pixel: float
    size: tuple[int, int] = PANEL

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
            for axis, size in enumerate(self.size)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How regions are drawn over a slice.

    Attributes
    ----------
    fill : float
        Share of the colour inside a region, 0 to 1.
    line : int
        Width of the outline, in display pixels.
    is_safe_in_grey : bool
        Outlines are lightened and rimmed with black, so that they stand out
        where the picture is shown without colour.
    """

    fill: float = 0.15
    line: int = 2
    is_safe_in_grey: bool = False


def common_field(volume: Volume, indices: Sequence[int], size: tuple[int, int] = PANEL) -> Field:
    """Find the part of the slices that holds the head on all of them.

    Parameters
    ----------
    volume : Volume
    indices : sequence of int
        Slice indices.
    size : tuple of int
        Rows and columns of the panel, in display pixels.
    """
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    head = np.any([_head(volume.view.apply(volume.voxels[index])) for index in indices], axis=0)
    bounds = [np.flatnonzero(head.any(axis=1 - axis))[[0, -1]] * spacing[axis] for axis in (0, 1)]
    scale = max((bounds[axis][1] - bounds[axis][0]) / size[axis] for axis in (0, 1))
    return Field(
        centre_mm=(float(bounds[0].mean()), float(bounds[1].mean())),
        mm_per_pixel=max(float(scale) * _MARGIN, 1e-3),
        size=size,
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


def plain_panel(
    volume: Volume, index: int, field: Field, window: tuple[float, float] = WINDOW
) -> RgbArray:
    """Return one slice in a window, right side of the patient at the left.

    Parameters
    ----------
    volume : Volume
    index : int
    field : Field
    window : tuple of float
        Centre and width in HU.

    Returns
    -------
    numpy.ndarray, shape (row, column, 3), uint8
    """
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    slice_hu = volume.view.apply(volume.voxels[index])
    shown = ndimage.map_coordinates(
        slice_hu, field.coordinates(spacing), order=1, mode="constant", cval=_AIR_HU
    )
    centre, width = window
    grey = np.clip((shown - centre) / width + 0.5, 0.0, 1.0) * 255.0
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def region_panel(
    plain: RgbArray, volume: Volume, labels: LabelArray, field: Field, style: Style | None = None
) -> RgbArray:
    """Return the panel with its regions: tinted, outlined, named.

    Parameters
    ----------
    plain : numpy.ndarray, shape (row, column, 3), uint8
        What ``plain_panel`` made of the slice.
    volume : Volume
    labels : numpy.ndarray, shape (row, column), uint8
        Region numbers on the native grid.
    field : Field
    style : Style, optional

    Returns
    -------
    numpy.ndarray, shape (row, column, 3), uint8
    """
    style = style or Style()
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    coordinates = field.coordinates(spacing)
    view = volume.view.apply(labels)
    numbers = [number for number in np.unique(labels).tolist() if number]
    masks = {number: _smooth_mask(view == number, coordinates) for number in numbers}
    picture = plain.astype(np.float64)
    if style.is_safe_in_grey:
        for window, mask in masks.values():
            picture[window][ndimage.binary_dilation(mask)] = 0.0
        # the rim alone stays black
        for window, mask in masks.values():
            picture[window][mask] = plain[window][mask]
    for number, (window, mask) in masks.items():
        _paint(picture[window], mask, line_colour(region_side(number), style), style)
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


def line_colour(region: RegionSide, style: Style) -> tuple[int, int, int]:
    """Return the colour of a region's outline, lightened where grey has to do.

    Examples
    --------
    >>> line_colour(region_side(7), Style())
    (0, 114, 178)
    >>> line_colour(region_side(7), Style(is_safe_in_grey=True))
    (103, 171, 209)
    """
    rgb = np.asarray(region.rgb, dtype=float)
    luma = float(rgb @ _LUMA)
    if style.is_safe_in_grey and luma < _MIN_LUMA:
        rgb += (255.0 - rgb) * (_MIN_LUMA - luma) / (255.0 - luma)
    red, green, blue = np.rint(rgb).astype(int).tolist()
    return red, green, blue


def _paint(picture: FloatArray, mask: MaskArray, rgb: tuple[int, int, int], style: Style) -> None:
    colour = np.asarray(rgb, dtype=float)
    inner = ndimage.binary_erosion(mask, iterations=style.line)
    picture[mask] = picture[mask] * (1.0 - style.fill) + colour * style.fill
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
