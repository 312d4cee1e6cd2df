"""A CT series: checked, sorted, read-only; every defect is a named error."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import Dataset

from pipeline.arrays import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CtSeries:
    """One axial CT series, its images in order from inferior to superior.

    Attributes
    ----------
    datasets : tuple of pydicom.Dataset
        One single-frame CT image each. Treat as read-only.
    study_instance_uid, series_instance_uid : str
    sop_instance_uids : tuple of str
    image_orientation : numpy.ndarray, shape (6,), float64
        ``ImageOrientationPatient`` (0020,0037), common to all images.
    pixel_spacing_mm : tuple of float
        ``PixelSpacing`` (0028,0030): between rows, then between columns.
    rows, columns : int
    positions_mm : numpy.ndarray, shape (n, 3), float64
        ``ImagePositionPatient`` (0020,0032), LPS.
    distances_mm : numpy.ndarray, shape (n,), float64
        Distance of each slice from the first along the slice normal; rises.
    slice_thickness_mm : numpy.ndarray, shape (n,), float64
        ``SliceThickness`` (0018,0050), or the local step where it is absent.
    gaps : tuple of int
        Index of each slice above which at least one slice is missing.
    notes : tuple of str
        What was put right on the way, in words (duplicates dropped and so on).
    """

    datasets: tuple[Dataset, ...]
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    image_orientation: FloatArray
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int
    positions_mm: FloatArray
    distances_mm: FloatArray
    slice_thickness_mm: FloatArray
    gaps: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.datasets)


def load_series(datasets: Iterable[Dataset]) -> CtSeries:
    """(being written)"""
    raise NotImplementedError
