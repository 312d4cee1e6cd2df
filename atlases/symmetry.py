"""How the two halves of an atlas differ, and into how many parts its regions fall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from atlases.lateralise import lateralise, midline_column
from pipeline.arrays import HuArray, LabelArray, MaskArray
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSymmetry:
    """One region on both sides.

    Attributes
    ----------
    region : Region
    area_mm2, hu_mean : tuple of float
        Right, left; the density is NaN where the region is missing.
    fragments : int
        Parts of the region, both sides, beyond one for each side.
    fragments_mm2 : float
        Their area.
    """

    region: Region
    area_mm2: tuple[float, float]
    hu_mean: tuple[float, float]
    fragments: int
    fragments_mm2: float

    @property
    def area_asymmetry(self) -> float:
        """Right minus left over their mean; NaN where both are missing."""
        right, left = self.area_mm2
        return 2 * (right - left) / (right + left) if right + left else float("nan")

    @property
    def hu_asymmetry(self) -> float:
        """Right minus left in HU."""
        return self.hu_mean[0] - self.hu_mean[1]


def region_symmetry(
    template: HuArray, labels: LabelArray, spacing_mm: tuple[float, float]
) -> tuple[RegionSymmetry, ...]:
    """Compare the sides of every region that the labels hold.

    Parameters
    ----------
    template : numpy.ndarray, shape (row, column), float32
    labels : numpy.ndarray, shape (row, column), uint8
        1-10 shared by both sides, or 1-20 with the side.
    spacing_mm : tuple of float
        Between rows, then between columns.

    Returns
    -------
    tuple of RegionSymmetry
        In the order of the region numbers.
    """
    has_sides = bool(labels.max(initial=0) > LEFT_OFFSET)
    lateral = labels if has_sides else lateralise(labels, midline_column(template))
    return tuple(_regions(template, labels, lateral, spacing_mm[0] * spacing_mm[1]))


def _regions(
    template: HuArray, labels: LabelArray, lateral: LabelArray, pixel_mm2: float
) -> Iterator[RegionSymmetry]:
    for item in REGION_SIDES[:LEFT_OFFSET]:
        numbers = (item.number, item.number + LEFT_OFFSET)
        sides = [lateral == number for number in numbers]
        drawn = np.isin(labels, numbers)
        if not drawn.any():
            continue
        count, area = _fragments(drawn, int(sides[0].any()) + int(sides[1].any()))
        yield RegionSymmetry(
            region=item.region,
            area_mm2=(sides[0].sum() * pixel_mm2, sides[1].sum() * pixel_mm2),
            hu_mean=(_mean(template[sides[0]]), _mean(template[sides[1]])),
            fragments=count,
            fragments_mm2=area * pixel_mm2,
        )


def _mean(values: HuArray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _fragments(drawn: MaskArray, wanted: int) -> tuple[int, int]:
    """Count the parts beyond the ``wanted`` largest, and their pixels."""
    parts, _ = ndimage.label(drawn)
    areas = np.sort(np.bincount(parts.ravel())[1:])[::-1]
    return len(areas[wanted:]), int(areas[wanted:].sum())
