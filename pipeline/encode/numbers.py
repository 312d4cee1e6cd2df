"""The numbers of a report, and the lack of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from highdicom.sr import Measurement

from pipeline.encode import codes
from pipeline.encode.codes import Concept
from pipeline.measure import RegionMeasurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number to report, or the lack of one.

    Attributes
    ----------
    name : Concept
    value : float or None
    unit : Concept
    derivation, method : Concept or None
    places : sequence of highdicom.sr.CoordinatesForMeasurement
        Where it was measured.
    """

    name: Concept
    value: float | None
    unit: Concept
    derivation: Concept | None = None
    method: Concept | None = None
    places: Sequence[Any] = ()

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.value is not None and math.isfinite(self.value)

    @property
    def words(self) -> str:
        """What it is a number of."""
        parts = (self.derivation, self.method, self.name)
        return ", ".join(part.meaning for part in parts if part is not None)


def measurement_items(numbers: Sequence[Number]) -> list[Measurement]:
    """Write the numbers there are; ``missing_sentences`` names the others."""
    return [
        Measurement(
            name=item.name.to_code(),
            value=round(float(item.value), 4),
            unit=item.unit.to_code(),
            derivation=item.derivation.to_code() if item.derivation else None,
            method=item.method.to_code() if item.method else None,
            referenced_coordinates=item.places or None,
        )
        for item in numbers
        if item.value is not None and item.known
    ]


def missing_sentences(numbers: Sequence[Number]) -> tuple[str, ...]:
    """Name the numbers that are missing.

    An empty Measured Value Sequence with a qualifier would say it in code, but
    common readers, the encoder's own among them, then fail on the whole report.
    """
    missing = [item.words for item in numbers if not item.known]
    return (f"Not measured: {'; '.join(missing)}.",) if missing else ()


def region_numbers(item: RegionMeasurement) -> list[Number]:
    """List the numbers of a region, its area first.

    All but the area say how they were found; viewers that write numbers on the
    image leave out those that do, so that there is room for the outlines.

    Parameters
    ----------
    item : RegionMeasurement
    """
    hu: dict[str, Any] = {"name": codes.ATTENUATION, "unit": codes.HU}
    area: dict[str, Any] = {"unit": codes.MM2}
    of_tissue: dict[str, Any] = {"method": codes.TISSUE}
    tissue: dict[str, Any] = {"derivation": codes.MEDIAN, **of_tissue}
    sd: dict[str, Any] = {"derivation": codes.STANDARD_DEVIATION}
    return [
        Number(name=codes.AREA, value=item.area_mm2, **area),
        Number(name=codes.FLUID, value=item.fluid_area_mm2, **of_tissue, **area),
        Number(name=codes.DENSE, value=item.dense_area_mm2, **of_tissue, **area),
        Number(value=item.hu_mean, derivation=codes.MEAN, **hu),
        Number(value=item.hu_median, derivation=codes.MEDIAN, **hu),
        Number(value=item.hu_sd, **sd, **hu),
        Number(value=item.tissue_hu_median, **tissue, **hu),
        Number(name=codes.NOISE, value=item.noise_hu, unit=codes.HU, **sd),
        Number(name=codes.SIDE_DIFFERENCE, value=item.difference_hu, unit=codes.HU, **tissue),
        Number(name=codes.SIDE_RATIO, value=item.ratio, unit=codes.ONE, **tissue),
        *_corrected(item),
    ]


def _corrected(item: RegionMeasurement) -> list[Number]:
    found = item.comparison
    low, high = (None, None) if found is None else found.interval_hu or (None, None)
    difference = None if found is None else found.corrected_difference_hu
    ratio = None if found is None else found.corrected_ratio
    hu: dict[str, Any] = {"unit": codes.HU, "method": codes.TISSUE}
    return [
        Number(name=codes.CORRECTED_DIFFERENCE, value=difference, **hu),
        Number(name=codes.CORRECTED_DIFFERENCE_LOW, value=low, **hu),
        Number(name=codes.CORRECTED_DIFFERENCE_HIGH, value=high, **hu),
        Number(name=codes.CORRECTED_RATIO, value=ratio, unit=codes.ONE, method=codes.TISSUE),
    ]
