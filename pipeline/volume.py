"""Voxels of a series in Hounsfield units, in the acquired geometry."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.utils import pixel_array

from pipeline.arrays import FloatArray, HuArray, MaskArray, frozen
from pipeline.errors import PixelDecodeError
from pipeline.geometry import InPlaneView, in_plane_view, pixel_affine
from pipeline.header import number, text
from pipeline.series import CtSeries

AIR_HU: Final = -1024.0
"""What padding outside the reconstruction circle is set to."""

_TISSUE_HU: Final = (-500.0, 4000.0)  # a padding value that is also tissue is not trusted
_SLOPES: Final = (1e-4, 1e3)
_INTERCEPTS: Final = (-1e5, 1e5)
_STORED: Final = (-(2.0**31), 2.0**32)
_ONE_GREY_SLICE: Final[Mapping[str, tuple[float, float]]] = {
    "SamplesPerPixel": (1, 1),
    "NumberOfFrames": (1, 1),
    "BitsAllocated": (8, 16),
}

_SLAB_MM: Final = 5.0
_MIN_SECTION_SHARE: Final = 0.25
_CANDIDATE_STEP_MM: Final = 2.4
_ROUNDING_MM: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Voxels of a series on its native slices; tilt and uneven steps are kept.

    Attributes
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
        Hounsfield units; padding and everything under air is set to -1024 HU.
        Read-only. Slices run from inferior to superior, rows and columns as
        stored.
    pixel_affines : numpy.ndarray, shape (slice, 3, 3), float64
        ``pixel_affines[k] @ (row, column, 1)`` is that pixel's centre in mm, LPS.
    pixel_spacing_mm : tuple of float
        Between rows, then between columns.
    distances_mm : numpy.ndarray, shape (slice,), float64
        Distance of each slice from the first along the slice normal.
    slice_thickness_mm : numpy.ndarray, shape (slice,), float64
    view : InPlaneView
        The turn into the radiologist's view.
    """

    voxels: HuArray
    pixel_affines: FloatArray
    pixel_spacing_mm: tuple[float, float]
    distances_mm: FloatArray
    slice_thickness_mm: FloatArray
    view: InPlaneView


def to_volume(series: CtSeries) -> Volume:
    """Decode and rescale the pixels of a series.

    Parameters
    ----------
    series : CtSeries

    Returns
    -------
    Volume

    Raises
    ------
    PixelDecodeError
        Pixel data is missing, truncated, or in a syntax no decoder reads.
    HeaderError
        Rescale, padding or the description of the pixels is malformed.

    References
    ----------
    DICOM PS3.3, C.11.1 "Modality LUT Module" and C.7.5.1.1.2 "Pixel Padding
    Value and Pixel Padding Range Limit".
    """
    shape = (series.rows, series.columns)
    voxels = np.empty((len(series), *shape), dtype=np.float32)
    for index, dataset in enumerate(series.datasets):
        voxels[index] = _hounsfield(dataset, shape, series.series_instance_uid)
    affines = [
        pixel_affine(position, series.image_orientation, series.pixel_spacing_mm)
        for position in series.positions_mm
    ]
    return Volume(
        voxels=frozen(voxels),
        pixel_affines=frozen(np.stack(affines)),
        pixel_spacing_mm=series.pixel_spacing_mm,
        distances_mm=series.distances_mm,
        slice_thickness_mm=series.slice_thickness_mm,
        view=in_plane_view(series.image_orientation),
    )


def slab(volume: Volume, index: int) -> HuArray:
    """Average thin slices around one to about 5 mm: less noise, same place.

    Parameters
    ----------
    volume : Volume
    index : int
        The slice in the middle; alone where it is 5 mm thick or more.

    Returns
    -------
    numpy.ndarray, shape (row, column), float32
    """
    reach = max(0.0, (_SLAB_MM - float(volume.slice_thickness_mm[index])) / 2)
    near = np.abs(volume.distances_mm - volume.distances_mm[index]) <= reach
    return np.asarray(volume.voxels[near].mean(axis=0), dtype=np.float32)


def along_z(
    volume: Volume,
    brain: MaskArray,
    look: Callable[[HuArray, MaskArray], tuple[float, float]],
    *,
    otherwise: float,
) -> FloatArray:
    """Look at each slice that holds brain enough, for two numbers.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool
        Not empty.
    look : callable
        From a slice, averaged to about 5 mm, and its mask, both as stored.
    otherwise : float
        For slices with less than a quarter of the largest section.

    Returns
    -------
    numpy.ndarray, shape (2, slice), float64
        Of thin slices one is looked at every 2.4 mm or more; between those, the
        numbers are interpolated.
    """
    sections = brain.sum(axis=(1, 2))
    found = np.flatnonzero(sections > _MIN_SECTION_SHARE * sections.max())
    seen = _thinned(found, volume.distances_mm)
    numbers = np.array([look(slab(volume, index), brain[index]) for index in seen])
    rows = np.full((2, len(sections)), otherwise)
    for row in range(2):
        rows[row, found] = np.interp(
            volume.distances_mm[found], volume.distances_mm[seen], numbers[:, row]
        )
    return rows


def _thinned(indices: npt.NDArray[np.intp], distances_mm: FloatArray) -> list[int]:
    """Return the slices that are looked at where they lie closer than 2.4 mm.

    Parameters
    ----------
    indices : numpy.ndarray, shape (n,), intp
        Rising, not empty.
    distances_mm : numpy.ndarray, shape (slice,)

    Examples
    --------
    >>> _thinned(np.arange(2, 8), np.arange(10.0))
    [2, 5]
    """
    kept = [int(indices[0])]
    for index in indices[1:].tolist():
        if distances_mm[index] - distances_mm[kept[-1]] > _CANDIDATE_STEP_MM - _ROUNDING_MM:
            kept.append(index)
    return kept


def _hounsfield(dataset: Dataset, shape: tuple[int, int], uid: str) -> HuArray:
    for keyword, limits in _ONE_GREY_SLICE.items():
        number(dataset, keyword, limits[0], limits)
    try:
        with warnings.catch_warnings():
            # a decoder's remark on padding bytes is no reason to stop
            warnings.simplefilter("ignore")
            stored = pixel_array(dataset)
    # every decoder plugin raises errors of its own; all mean the same here
    except Exception as error:
        raise PixelDecodeError(
            f"series {uid}: pixel data of instance {text(dataset, 'InstanceNumber') or '?'} "
            f"cannot be decoded ({type(error).__name__}). Send the series again, uncompressed."
        ) from error
    if stored.shape != shape:
        raise PixelDecodeError(f"series {uid}: pixel data is no single grey slice of {shape}")
    slope = number(dataset, "RescaleSlope", 1.0, _SLOPES)
    intercept = number(dataset, "RescaleIntercept", 0.0, _INTERCEPTS)
    hounsfield: HuArray = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    tissue = (hounsfield >= _TISSUE_HU[0]) & (hounsfield <= _TISSUE_HU[1])
    hounsfield[_padding(dataset, stored) & ~tissue] = AIR_HU
    return np.maximum(hounsfield, np.float32(AIR_HU))


def _padding(dataset: Dataset, stored: npt.NDArray[np.integer]) -> MaskArray:
    value = number(dataset, "PixelPaddingValue", np.inf, _STORED)
    limit = number(dataset, "PixelPaddingRangeLimit", value, _STORED)
    low, high = sorted((value, limit))
    return np.asarray((stored >= low) & (stored <= high))
