"""Carry each age group's labels to every other: registration measured on atlas pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import LabelArray
from pipeline.atlas import AgeGroup, Atlas, AtlasSet
from pipeline.mapping import map_labels
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level, Region
from pipeline.registration import Method, register


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScore:
    """One template carried to another.

    Attributes
    ----------
    level : Level
    fixed, moving : AgeGroup
    dsc : dict of Region to float
        Dice coefficient of both sides together.
    seconds : float
        For registration and labels.
    """

    level: Level
    fixed: AgeGroup
    moving: AgeGroup
    dsc: dict[Region, float]
    seconds: float


def score_pairs(
    atlases: AtlasSet, method: Method, clock: Callable[[], float]
) -> Iterator[PairScore]:
    """Register every ordered pair of age groups at both levels.

    Parameters
    ----------
    atlases : AtlasSet
    method : Method
    clock : callable
        Monotonic seconds.

    Yields
    ------
    PairScore

    References
    ----------
    Sun et al., Sci Data 11, 1132 (2024), Table 4: the same pairs, but on
    patients.
    """
    for level in Level:
        for fixed, moving in itertools.permutations(atlases.groups, 2):
            target, template = atlases.get(fixed, level), atlases.get(moving, level)
            brain = np.asarray(ndimage.binary_fill_holes(target.template > 0))
            start = clock()
            found = register(target.template, brain, target.spacing_mm, template, method=method)
            labels = map_labels(template, found, brain)
            seconds = clock() - start
            yield PairScore(
                level=level,
                fixed=fixed,
                moving=moving,
                dsc=region_dice(labels, target),
                seconds=seconds,
            )


def region_dice(labels: LabelArray, truth: Atlas) -> dict[Region, float]:
    """Measure overlap with an atlas's own labels, both sides together.

    Parameters
    ----------
    labels : numpy.ndarray, shape (row, column), uint8
        1-20, on the atlas's grid.
    truth : Atlas
    """
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(_one_sided(truth.labels), _one_sided(labels))
    return {
        item.region: overlap.GetDiceCoefficient(item.number)
        for item in REGION_SIDES[:LEFT_OFFSET]
        if item.level is truth.level
    }


def _one_sided(labels: LabelArray) -> sitk.Image:
    """Give both sides of a region the number of the right one."""
    left = labels > LEFT_OFFSET
    return sitk.GetImageFromArray(np.where(left, labels - LEFT_OFFSET, labels).astype(np.uint8))


def mean_by_region(scores: list[PairScore]) -> dict[Region, float]:
    """Average each region over the pairs of its level."""
    return {
        region: float(np.mean([score.dsc[region] for score in scores if region in score.dsc]))
        for region in Region
    }
