"""Measure each region."""
from __future__ import annotations

from dataclasses import dataclass

from pipeline.regions import RegionSide


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionMeasurement:
    """Numbers of one region of one side.

    ``n`` counts the pixels of the full region, as in the SEG; the ``tissue_``
    numbers leave out CSF and calcification. Every HU is ``None`` where there
    is no pixel to measure.

    Attributes
    ----------
    region_side : RegionSide
    slice_index : int
    n : int
    area_mm2 : float
    hu_mean, hu_median, hu_sd : float or None
    tissue_n : int
    tissue_area_mm2 : float
    tissue_hu_mean, tissue_hu_median, tissue_hu_sd : float or None
    difference_hu : float or None
        Tissue median minus that of the same region on the other side.
    ratio : float or None
        Tissue median over that of the other side.
    """

    region_side: RegionSide
    slice_index: int
    n: int
    area_mm2: float
    hu_mean: float | None
    hu_median: float | None
    hu_sd: float | None
    tissue_n: int
    tissue_area_mm2: float
    tissue_hu_mean: float | None
    tissue_hu_median: float | None
    tissue_hu_sd: float | None
    difference_hu: float | None
    ratio: float | None
