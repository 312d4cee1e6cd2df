"""What the network sees of a series: one square picture about every 5 mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from pipeline.arrays import FloatArray, HuArray, MaskArray, frozen

HEAD_SHARE: Final = 0.8
"""Share of the picture's side that the head's length takes."""
GROUP_MM: Final = 5.5
"""Thin slices are averaged up to this thickness."""
_FAR_MM: Final = 6.0
AIR_HU: Final = -1000.0
BONE_HU: Final = 1500.0
"""Nothing above tells one level from another."""
_HEAD_HU: Final = -300.0
_COARSE_MM: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBox:
    """Where the head is in plane, common to all slices.

    Attributes
    ----------
    row_mm, column_mm : float
        Centre, from the centre of the first pixel.
    length_mm : float
        Extent from front to back.
    """

    row_mm: float
    column_mm: float
    length_mm: float

    @property
    def side_mm(self) -> float:
        """Side of the picture that is cut out."""
        return self.length_mm / HEAD_SHARE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """The pictures of one series.

    Attributes
    ----------
    images : numpy.ndarray, shape (frame, pixels, pixels), float32
        Hounsfield units, -1000 ... 1500.
    positions_mm : numpy.ndarray, shape (frame,), float64
        Distance of each picture from the first slice along the normal.
    """

    images: HuArray
    positions_mm: FloatArray


def _largest(mask: MaskArray) -> MaskArray:
    """Return the largest piece of a 2-D mask."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def _extents(voxels: HuArray, stride: tuple[int, int]) -> FloatArray:
    """Return top, bottom, left, right of the head on each slice that shows one, in pixels."""
    coarse = voxels[:, :: stride[0], :: stride[1]] > _HEAD_HU
    # an opening takes the table and the head rest away
    opened = ndimage.binary_opening(coarse, np.ones((1, 5, 5), bool))
    found = []
    for mask in opened:
        if mask.any():
            rows, columns = np.nonzero(_largest(mask))
            found.append((rows.min(), rows.max() + 1, columns.min(), columns.max() + 1))
    return np.asarray(found, dtype=float).reshape(-1, 4)


def head_box(voxels: HuArray, spacing_mm: tuple[float, float]) -> HeadBox:
    """Find the head in plane.

    Parameters
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
        Hounsfield units in the radiologist's view.
    spacing_mm : tuple of float
        Between rows, then between columns.

    Returns
    -------
    HeadBox
        The whole picture where nothing is denser than air.

    Notes
    -----
    The length is taken from front to back, so that shoulders do not count; its
    90th percentile over the slices makes the pixel spacing cancel out.
    """
    stride = (max(1, round(_COARSE_MM / spacing_mm[0])), max(1, round(_COARSE_MM / spacing_mm[1])))
    extents = _extents(voxels, stride)
    if not len(extents):
        rows, columns = (
            size * step for size, step in zip(voxels.shape[1:], spacing_mm, strict=True)
        )
        return HeadBox(row_mm=rows / 2, column_mm=columns / 2, length_mm=max(rows, columns))
    lengths = extents[:, 1] - extents[:, 0]
    length = np.percentile(lengths, 90)
    wide = extents[lengths >= 0.8 * length]
    row_mm, column_mm = stride[0] * spacing_mm[0], stride[1] * spacing_mm[1]
    return HeadBox(
        row_mm=float(np.median(wide[:, :2].mean(axis=1)) * row_mm),
        column_mm=float(np.median(wide[:, 2:].mean(axis=1)) * column_mm),
        length_mm=float(length * row_mm),
    )


def groups(distances_mm: FloatArray) -> list[slice]:
    """Group neighbouring thin slices up to about 5 mm.

    Parameters
    ----------
    distances_mm : numpy.ndarray, shape (slice,)
        Rising.

    Examples
    --------
    Two thin slices make a picture, a thick one stands alone.

    >>> groups(np.array([0, 2.5, 5, 7.5, 10, 15, 20]))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None), slice(5, 6, None), slice(6, 7, None)]
    """
    found, start = [], 0
    for index in range(1, len(distances_mm)):
        step = distances_mm[index] - distances_mm[index - 1]
        if distances_mm[index] - distances_mm[start] + step > GROUP_MM:
            found.append(slice(start, index))
            start = index
    return [*found, slice(start, len(distances_mm))]


def cut_out(
    voxels: HuArray, spacing_mm: tuple[float, float], box: HeadBox, side_mm: float, pixels: int
) -> HuArray:
    """Cut a square around the head out of each slice and scale it.

    Parameters
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
    spacing_mm : tuple of float
    box : HeadBox
        Gives the centre.
    side_mm : float
    pixels : int
        Side of the result.

    Returns
    -------
    numpy.ndarray, shape (slice, pixels, pixels), float32
        Air where the square reaches beyond the slice; -1000 ... 1500 HU.
    """
    pads, cuts = [], []
    for centre, step, size in zip(
        (box.row_mm, box.column_mm), spacing_mm, voxels.shape[1:], strict=True
    ):
        first = round((centre - side_mm / 2) / step)
        last = max(first + 1, round((centre + side_mm / 2) / step))
        pads.append((max(0, -first), max(0, last - size)))
        cuts.append(slice(max(0, first), min(size, last)))
    inside = np.clip(voxels[:, cuts[0], cuts[1]], AIR_HU, BONE_HU)
    square = torch.from_numpy(np.ascontiguousarray(inside))[:, None]
    square = functional.pad(square, (*pads[1], *pads[0]), value=AIR_HU)
    scaled = functional.interpolate(square, (pixels, pixels), mode="bilinear", antialias=True)
    return np.asarray(scaled[:, 0].numpy(), dtype=np.float32)


def to_frames(
    voxels: HuArray, distances_mm: FloatArray, spacing_mm: tuple[float, float], pixels: int
) -> Frames:
    """Make the network's pictures of a series.

    Parameters
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
        Hounsfield units in the radiologist's view, from inferior to superior.
    distances_mm : numpy.ndarray, shape (slice,)
        Of each slice from the first along the normal; rising.
    spacing_mm : tuple of float
        Between rows, then between columns.
    pixels : int
        Side of each picture.
    """
    box = head_box(voxels, spacing_mm)
    images = cut_out(voxels, spacing_mm, box, box.side_mm, pixels)
    members = groups(distances_mm)
    images = np.stack([images[group].mean(axis=0) for group in members])
    positions_mm = np.array([distances_mm[group].mean() for group in members])
    # the network counts slices: between far ones it gets the mean of both
    far = np.flatnonzero(np.diff(positions_mm) > _FAR_MM)
    return Frames(
        images=frozen(np.insert(images, far + 1, (images[far] + images[far + 1]) / 2, axis=0)),
        positions_mm=frozen(
            np.insert(positions_mm, far + 1, (positions_mm[far] + positions_mm[far + 1]) / 2)
        ),
    )
