"""Voxels of a series in Hounsfield units, in the acquired geometry."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from pipeline.arrays import FloatArray, HuArray, MaskArray, frozen
from pipeline.errors import PixelDecodeError
from pipeline.geometry import InPlaneView, in_plane_view, pixel_affine
from pipeline.series import CtSeries

AIR_HU: Final = -1024.0
"""What padding outside the reconstruction circle is set to."""

_PADDING_BELOW_HU: Final = -500.0  # a padding value that is also tissue is not trusted


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

    References
    ----------
    DICOM PS3.3, C.11.1 "Modality LUT Module" and C.7.5.1.1.2 "Pixel Padding
    Value and Pixel Padding Range Limit".
    """
    voxels = np.empty((len(series), series.rows, series.columns), dtype=np.float32)
    for index, dataset in enumerate(series.datasets):
        voxels[index] = _hounsfield(dataset, series.series_instance_uid)
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


def _hounsfield(dataset: Dataset, uid: str) -> HuArray:
    shape = (int(dataset.Rows), int(dataset.Columns))
    try:
        with warnings.catch_warnings():
            # a decoder's remark on padding bytes is no reason to stop
            warnings.simplefilter("ignore")
            stored = dataset.pixel_array
    # every decoder plugin raises errors of its own; all mean the same here
    except Exception as error:
        raise PixelDecodeError(
            f"series {uid}: pixel data of instance {dataset.get('InstanceNumber', '?')} "
            f"cannot be decoded ({type(error).__name__}). Send the series again, uncompressed."
        ) from error
    if stored.shape != shape:
        raise PixelDecodeError(f"series {uid}: pixel data is no single grey slice of {shape}")
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    hounsfield: HuArray = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    hounsfield[_padding(dataset, stored) & (hounsfield < _PADDING_BELOW_HU)] = AIR_HU
    return np.maximum(hounsfield, np.float32(AIR_HU))


def _padding(dataset: Dataset, stored: npt.NDArray[np.integer]) -> MaskArray:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return np.asarray((stored >= low) & (stored <= high))
