"""What was found in one series: what every object and picture is made from."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.levels import AspectsLevels
from pipeline.mapping import RegionMap
from pipeline.measure import RegionMeasurement
from pipeline.provenance import Provenance
from pipeline.quality import Quality
from pipeline.regions import LEFT_OFFSET, RegionSide
from pipeline.series import CtSeries
from pipeline.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """The findings of one series.

    Attributes
    ----------
    series : CtSeries
    volume : Volume
    levels : AspectsLevels
    region_map : RegionMap
    measurements : tuple of RegionMeasurement
        All twenty, in the order of their numbers.
    quality : Quality
    provenance : Provenance
    """

    series: CtSeries
    volume: Volume
    levels: AspectsLevels
    region_map: RegionMap
    measurements: tuple[RegionMeasurement, ...]
    quality: Quality
    provenance: Provenance

    def pair(self, right: RegionSide) -> tuple[RegionMeasurement, RegionMeasurement]:
        """Return the numbers of one region, right and left, given its right side."""
        return self.measured(right), self.measurements[right.number - 1 + LEFT_OFFSET]

    def measured(self, item: RegionSide) -> RegionMeasurement:
        """Return the numbers of one region."""
        return self.measurements[item.number - 1]
