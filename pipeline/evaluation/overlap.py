"""How far two drawings of a region agree.

Overlap is SimpleITK's, the distances are those of the library
`surface-distance`: between contours, each piece weighed by its length.
SimpleITK's average Hausdorff distance is not used: it averages over all
pixels, those inside too, and makes a shift of 1 mm look like 0.1 mm.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import LabelArray, MaskArray
from pipeline.evaluation.reading import Reading
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level, Region, Side

# the library still calls scipy.ndimage by names that it will drop in SciPy 2
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import surface_distance

TOLERANCE_MM: Final = 1.0
"""Contours this near count as the same for the surface Dice coefficient."""
_PERCENT: Final = 95


class State(StrEnum):
    """Whether a region can be compared."""

    SCORED = "scored"
    MISSED = "missed"
    """The reference has it, the reading lacks it."""
    NOT_DRAWN = "not-drawn"
    """The reference lacks it, or one of two people: nothing is scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionScore:
    """One region of one reading against the same region of a reference.

    Attributes
    ----------
    region : Region
    side : Side or None
        None for both sides taken together, as the paper does; of those that the
        reference has.
    level : Level
    state : State
    slice_offset : int
        Slice of the reading minus slice of the reference. The drawings are
        compared in the plane even where they lie on different slices.
    dsc : float
        Dice coefficient; 0 where the region was missed.
    surface_dsc : float
        The same of the contours, with a tolerance of 1 mm; 0 where missed.
    hd95_mm : float
        95th percentile of the distance between the contours; the larger of
        both directions. NaN where the region was missed, like all that follow.
    msd_mm : float
        Mean distance between the contours; mean of both directions.
    area_mm2, reference_mm2 : float
    area_ratio : float
        Reading over reference.
    centroid_mm : float
        Distance of the centroids.
    """

    region: Region
    side: Side | None
    level: Level
    state: State
    slice_offset: int
    dsc: float
    surface_dsc: float
    hd95_mm: float
    msd_mm: float
    area_mm2: float
    reference_mm2: float
    area_ratio: float
    centroid_mm: float


def score_reading(
    reading: Reading,
    reference: Reading,
    spacing_mm: tuple[float, float],
    *,
    by_person: bool = False,
) -> tuple[RegionScore, ...]:
    """Compare two readings of one head, region by region.

    Parameters
    ----------
    reading, reference : Reading
        On one grid.
    spacing_mm : tuple of float
        Between rows, then between columns, of that grid.
    by_person : bool
        The reading is a person's, who may have left a region out on purpose:
        then it is not compared. A method's is a miss.

    Returns
    -------
    tuple of RegionScore
        For each level that both have: each region right, left and together.
    """
    return tuple(
        score
        for level in Level
        if level in reading.labels and level in reference.labels
        for score in _score_level(reading, reference, level, spacing_mm, by_person)
    )


def _score_level(
    reading: Reading,
    reference: Reading,
    level: Level,
    spacing_mm: tuple[float, float],
    by_person: bool,
) -> Iterator[RegionScore]:
    drawn, truth = reading.labels[level], reference.labels[level]
    offset = reading.slices[level] - reference.slices[level]
    wanted = set(np.unique(truth)) & set(np.unique(drawn)) if by_person else set(np.unique(truth))
    for item in REGION_SIDES[:LEFT_OFFSET]:
        if item.level is not level:
            continue
        both = (item.number, item.number + LEFT_OFFSET)
        sides = ((Side.RIGHT, both[:1]), (Side.LEFT, both[1:]))
        # a reference that has one side only says nothing about the other
        for side, numbers in (*sides, (None, [number for number in both if number in wanted])):
            masks = np.isin(drawn, numbers), np.isin(truth, numbers)
            state = _state(*masks)
            if by_person and state is State.MISSED:
                state = State.NOT_DRAWN
                masks = masks[0], np.zeros_like(masks[1])
            yield RegionScore(
                region=item.region,
                side=side,
                level=level,
                state=state,
                slice_offset=offset,
                **compare_masks(*masks, spacing_mm),
            )


def _state(drawn: MaskArray, truth: MaskArray) -> State:
    if not truth.any():
        return State.NOT_DRAWN
    return State.SCORED if drawn.any() else State.MISSED


def compare_masks(
    drawn: MaskArray, truth: MaskArray, spacing_mm: tuple[float, float]
) -> dict[str, float]:
    """Measure the agreement of two masks of one slice.

    Parameters
    ----------
    drawn, truth : numpy.ndarray, shape (row, column), bool
    spacing_mm : tuple of float
        Between rows, then between columns.

    Returns
    -------
    dict of str to float
        The numbers of `RegionScore`. Without a truth all but the areas are NaN.

    References
    ----------
    Nikolov et al., "Clinically Applicable Segmentation of Head and Neck Anatomy
    for Radiotherapy", J Med Internet Res 23 (2021): surface distances.

    Examples
    --------
    A square of 20 mm, shifted by 2 mm:

    >>> square = np.zeros((80, 80), dtype=bool)
    >>> square[20:60, 20:60] = True
    >>> found = compare_masks(np.roll(square, 4, axis=1), square, (0.5, 0.5))
    >>> round(found["dsc"], 2), found["centroid_mm"], found["hd95_mm"]
    (0.9, 2.0, 2.0)
    """
    pixel_mm2 = spacing_mm[0] * spacing_mm[1]
    areas = {
        "area_mm2": float(drawn.sum() * pixel_mm2),
        "reference_mm2": float(truth.sum() * pixel_mm2),
    }
    nothing = dict.fromkeys(("dsc", "surface_dsc", *_DISTANCES), float("nan"))
    if not truth.any():
        return nothing | areas
    if not drawn.any():
        return nothing | areas | {"dsc": 0.0, "surface_dsc": 0.0, "area_ratio": 0.0}
    drawn, truth = _cropped(drawn, truth)
    return areas | {
        "dsc": _dice(drawn, truth),
        "area_ratio": areas["area_mm2"] / areas["reference_mm2"],
        "centroid_mm": _centroid_mm(drawn, truth, spacing_mm),
        **_contours(drawn, truth, spacing_mm),
    }


_DISTANCES: Final = ("hd95_mm", "msd_mm", "area_ratio", "centroid_mm")


def _cropped(drawn: MaskArray, truth: MaskArray) -> tuple[MaskArray, MaskArray]:
    """Cut out what either mask covers: a region is a small part of a slice."""
    places = np.argwhere(drawn | truth)
    (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0) + 1
    return drawn[top:bottom, left:right], truth[top:bottom, left:right]


def _dice(drawn: MaskArray, truth: MaskArray) -> float:
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.SetNumberOfThreads(1)  # more take longer on so small a picture
    overlap.Execute(_image(truth), _image(drawn))
    return float(overlap.GetDiceCoefficient())


def _image(mask: MaskArray) -> sitk.Image:
    labels: LabelArray = mask.astype(np.uint8)
    return sitk.GetImageFromArray(labels)


def _centroid_mm(drawn: MaskArray, truth: MaskArray, spacing_mm: tuple[float, float]) -> float:
    apart = np.subtract(ndimage.center_of_mass(drawn), ndimage.center_of_mass(truth))
    return float(np.hypot(*(apart * spacing_mm)))


def _contours(
    drawn: MaskArray, truth: MaskArray, spacing_mm: tuple[float, float]
) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = surface_distance.compute_surface_distances(truth, drawn, spacing_mm)
    return {
        "hd95_mm": float(surface_distance.compute_robust_hausdorff(distances, _PERCENT)),
        "msd_mm": float(np.mean(surface_distance.compute_average_surface_distance(distances))),
        "surface_dsc": float(
            surface_distance.compute_surface_dice_at_tolerance(distances, TOLERANCE_MM)
        ),
    }
