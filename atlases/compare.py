"""Map the same heads with two atlas sets, and say where the regions differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from atlases.construct.cohort import Subject
from atlases.construct.pictures import Slice, read_slices
from pipeline.arrays import LabelArray, MaskArray
from pipeline.atlas import AgeGroup, AtlasSet
from pipeline.mapping import map_labels
from pipeline.regions import Level, RegionSide, Side, at_level
from pipeline.registration import register


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionComparison:
    """One region of one head, mapped twice.

    Attributes
    ----------
    head : str
    region : RegionSide
    dice : float
    area_ratio : float
        First over second; NaN where the second is empty.
    posterior_mm, lateral_mm : float
        How far the first lies behind the second, and outwards of it; NaN where
        either is empty.
    """

    head: str
    region: RegionSide
    dice: float
    area_ratio: float
    posterior_mm: float
    lateral_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgedAtlas:
    """An atlas set and the age group to take of it."""

    atlases: AtlasSet
    group: AgeGroup


def compare_head(
    subject: Subject, first: AgedAtlas, second: AgedAtlas
) -> Iterator[RegionComparison]:
    """Map one head with two atlas sets, on the slices that the cohort names.

    Yields
    ------
    RegionComparison
        For each of the twenty regions.

    Raises
    ------
    CohortError
        The head cannot be read.
    """
    for level, one in read_slices(subject).items():
        labels = [_mapped(one, level, atlas) for atlas in (first, second)]
        yield from _compared(subject.name, level, one, labels[0], labels[1])


def _mapped(one: Slice, level: Level, aged: AgedAtlas) -> LabelArray:
    atlas = aged.atlases.get(aged.group, level)
    found = register(one.hu, one.brain, one.spacing_mm, atlas, midline=one.midline)
    return map_labels(atlas, found, one.brain)


def _compared(
    head: str, level: Level, one: Slice, first: LabelArray, second: LabelArray
) -> Iterable[RegionComparison]:
    to_head = np.linalg.inv(one.midline.to_pixels(one.spacing_mm)[:, :2])
    for item in at_level(level):
        a, b = first == item.number, second == item.number
        areas = a.sum(), b.sum()
        down, across = to_head @ (_centre(a) - _centre(b))
        outward = across if item.side is Side.LEFT else -across
        yield RegionComparison(
            head=head,
            region=item,
            dice=float(2 * (a & b).sum() / max(1, sum(areas))),
            area_ratio=float(areas[0] / areas[1]) if areas[1] else float("nan"),
            posterior_mm=float(down),
            lateral_mm=float(outward),
        )


def _centre(mask: MaskArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    places = np.argwhere(mask)
    return places.mean(axis=0) if len(places) else np.full(2, np.nan)
