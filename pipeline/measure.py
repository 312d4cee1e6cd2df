"""Measure each region: area and Hounsfield units, side against side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.arrays import HuArray
from pipeline.mapping import RegionMap
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, RegionSide
from pipeline.volume import Volume


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
    difference_hu: float | None = None
    ratio: float | None = None


def measure(volume: Volume, region_map: RegionMap) -> tuple[RegionMeasurement, ...]:
    """Measure all twenty regions on the native voxels.

    Parameters
    ----------
    volume : Volume
    region_map : RegionMap
        On the native grid.

    Returns
    -------
    tuple of RegionMeasurement
        In the order of the region numbers; a region without a pixel is there
        too, with ``n`` 0.
    """
    single = [_measure_one(volume, region_map, item) for item in REGION_SIDES]
    half = LEFT_OFFSET
    opposite = single[half:] + single[:half]
    return tuple(
        _against_other_side(one, other) for one, other in zip(single, opposite, strict=True)
    )


def _measure_one(volume: Volume, region_map: RegionMap, item: RegionSide) -> RegionMeasurement:
    level_map = region_map.levels[item.level]
    hu = volume.voxels[level_map.slice_index]
    full = hu[level_map.labels == item.number]
    tissue = hu[level_map.tissue == item.number]
    pixel_mm2 = volume.pixel_spacing_mm[0] * volume.pixel_spacing_mm[1]
    mean, median, deviation = _statistics(full)
    tissue_mean, tissue_median, tissue_deviation = _statistics(tissue)
    return RegionMeasurement(
        region_side=item,
        slice_index=level_map.slice_index,
        n=int(full.size),
        area_mm2=float(full.size * pixel_mm2),
        hu_mean=mean,
        hu_median=median,
        hu_sd=deviation,
        tissue_n=int(tissue.size),
        tissue_area_mm2=float(tissue.size * pixel_mm2),
        tissue_hu_mean=tissue_mean,
        tissue_hu_median=tissue_median,
        tissue_hu_sd=tissue_deviation,
    )


def _statistics(values: HuArray) -> tuple[float | None, float | None, float | None]:
    """Mean, median and sample standard deviation."""
    if values.size == 0:
        return None, None, None
    exact = values.astype(float)
    deviation = float(exact.std(ddof=1)) if exact.size > 1 else None
    return float(exact.mean()), float(np.median(exact)), deviation


def _against_other_side(one: RegionMeasurement, other: RegionMeasurement) -> RegionMeasurement:
    if one.tissue_hu_median is None or other.tissue_hu_median is None:
        return one
    difference = one.tissue_hu_median - other.tissue_hu_median
    ratio = one.tissue_hu_median / other.tissue_hu_median if other.tissue_hu_median else None
    return replace(one, difference_hu=difference, ratio=ratio)
