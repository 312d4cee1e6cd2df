"""Measure each region: area and Hounsfield units, side against side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipeline.arrays import HuArray
from pipeline.atlas import Atlas
from pipeline.mapping import LevelMap, RegionMap
from pipeline.medians import grouped_median
from pipeline.noise import noise_hu
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level, RegionSide
from pipeline.review import Review, ReviewLimits, review
from pipeline.side_difference import (
    NO_ASYMMETRY,
    Sample,
    SideDifference,
    compare,
    healthy_medians,
    mirrored,
    sample,
)
from pipeline.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionMeasurement:
    """Numbers of one region of one side.

    ``n`` counts the pixels of the full region, as in the SEG; the ``tissue_``
    numbers leave out CSF and calcification. Every HU is ``None`` where there
    is no pixel to measure. Medians are interpolated within their whole HU, see
    `pipeline.medians.grouped_median`.

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
    fluid_n, dense_n : int
        Pixels left out of the tissue: as CSF, and as calcification or blood.
    fluid_area_mm2, dense_area_mm2 : float
    noise_hu : float or None
        Of the slice, see `pipeline.noise.noise_hu`.
    comparison : SideDifference or None
        With the same region on the other side.
    review : Review or None
        Whether the region is marked for review; ``None`` where nobody asked.
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
    fluid_n: int
    fluid_area_mm2: float
    dense_n: int
    dense_area_mm2: float
    noise_hu: float | None
    comparison: SideDifference | None = None
    review: Review | None = None

    @property
    def difference_hu(self) -> float | None:
        """Tissue median less that of the same region on the other side."""
        return None if self.comparison is None else self.comparison.difference_hu

    @property
    def ratio(self) -> float | None:
        """Tissue median over that of the other side."""
        return None if self.comparison is None else self.comparison.ratio

    @property
    def is_marked(self) -> bool:
        """Whether the region is marked for review."""
        return self.review is not None and self.review.marked


def measure(
    volume: Volume,
    region_map: RegionMap,
    atlases: Mapping[Level, Atlas],
    *,
    limits: ReviewLimits | None = None,
) -> tuple[RegionMeasurement, ...]:
    """Measure all twenty regions on the native voxels.

    Parameters
    ----------
    volume : Volume
    region_map : RegionMap
        On the native grid.
    atlases : mapping of Level to Atlas
        What was mapped; its own asymmetry is taken off the sides' difference.
    limits : ReviewLimits, optional
        Mark regions past these; none are marked where it is left out.

    Returns
    -------
    tuple of RegionMeasurement
        In the order of the region numbers; a region without a pixel is there
        too, with ``n`` 0.
    """
    noise = {
        level: noise_hu(volume.voxels[item.slice_index], item.tissue, volume.pixel_spacing_mm)
        for level, item in region_map.levels.items()
    }
    single = [
        _measure_one(volume, region_map.levels[item.level], item, noise[item.level])
        for item in REGION_SIDES
    ]
    compared = _compared(volume, region_map, atlases)
    return tuple(
        replace(
            one,
            comparison=found,
            review=None if limits is None else review(found, limits),
        )
        for one, found in zip(single, compared, strict=True)
    )


def _measure_one(
    volume: Volume, level_map: LevelMap, item: RegionSide, noise: float | None
) -> RegionMeasurement:
    hu = volume.voxels[level_map.slice_index]
    full = hu[level_map.labels == item.number]
    tissue = hu[level_map.tissue == item.number]
    dense_n = int((level_map.dense == item.number).sum())
    fluid_n = full.size - tissue.size - dense_n
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
        fluid_n=fluid_n,
        fluid_area_mm2=float(fluid_n * pixel_mm2),
        dense_n=dense_n,
        dense_area_mm2=float(dense_n * pixel_mm2),
        noise_hu=noise,
    )


def _statistics(values: HuArray) -> tuple[float | None, float | None, float | None]:
    """Mean, median and sample standard deviation."""
    if values.size == 0:
        return None, None, None
    exact = values.astype(float)
    deviation = float(exact.std(ddof=1)) if exact.size > 1 else None
    return float(exact.mean()), grouped_median(exact), deviation


def _compared(
    volume: Volume, region_map: RegionMap, atlases: Mapping[Level, Atlas]
) -> list[SideDifference | None]:
    right_half = []
    for item in REGION_SIDES[:LEFT_OFFSET]:
        level_map = region_map.levels[item.level]
        healthy = healthy_medians(atlases[item.level]).get(item.region, NO_ASYMMETRY)
        right, left = (
            _tissue(volume, level_map, number)
            for number in (item.number, item.number + LEFT_OFFSET)
        )
        right_half.append(compare(right, left, healthy))
    return [*right_half, *(None if one is None else mirrored(one) for one in right_half)]


def _tissue(volume: Volume, level_map: LevelMap, number: int) -> Sample:
    hu = volume.voxels[level_map.slice_index]
    return sample(hu, np.asarray(level_map.tissue == number), volume.pixel_spacing_mm)
