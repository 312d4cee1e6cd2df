"""Voxels of a series in Hounsfield units, in the acquired geometry."""
from __future__ import annotations

from dataclasses import dataclass

from pipeline.arrays import FloatArray, HuArray
from pipeline.geometry import InPlaneView
from pipeline.series import CtSeries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Voxels of a series on its native slices; tilt and uneven steps are kept.

    Attributes
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
        Hounsfield units; padding is set to air (-1024 HU). Read-only. Slices run from inferior to
        superior, rows and columns as stored.
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
    """(being written)"""
    raise NotImplementedError
