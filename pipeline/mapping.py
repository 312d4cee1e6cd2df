"""Move the atlas regions onto the native slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, LabelArray, MaskArray, bounding_box, frozen
from pipeline.atlas import Atlas
from pipeline.regions import REGION_SIDES, Level
from pipeline.registration import Registration

TISSUE_HU: Final = (20.0, 60.0)
"""Tissue, after smoothing: CSF lies below, calcification above."""
_TISSUE_SIGMA_MM: Final = 1.0
_STRAY_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelMap:
    """The regions on one slice, on its native grid.

    Attributes
    ----------
    level : Level
    slice_index : int
    labels : numpy.ndarray, shape (row, column), uint8
        Full regions: 1-20, 0 elsewhere.
    tissue : numpy.ndarray, shape (row, column), uint8
        The same without CSF and calcification.
    dense : numpy.ndarray, shape (row, column), uint8
        What was left out for being too dense: calcification, blood.
    """

    level: Level
    slice_index: int
    labels: LabelArray
    tissue: LabelArray
    dense: LabelArray

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        frozen(self.labels)
        frozen(self.tissue)
        frozen(self.dense)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionMap:
    """The regions on both levels, and on their neighbours where asked for.

    Attributes
    ----------
    levels : mapping of Level to LevelMap
    neighbours : tuple of LevelMap
        The regions carried to other slices.
    """

    levels: Mapping[Level, LevelMap]
    neighbours: tuple[LevelMap, ...] = ()


def map_labels(atlas: Atlas, registration: Registration, brain: MaskArray) -> LabelArray:
    """Carry the labels of an atlas to a slice.

    Each label is moved as a map of its own by linear interpolation; a pixel
    gets the label (or the background) that weighs most. The side comes with
    the label, never from where the pixel lies.

    Parameters
    ----------
    atlas : Atlas
    registration : Registration
        Of that atlas to the slice.
    brain : numpy.ndarray, shape (row, column), bool
        Brain mask of the slice, radiologist's view: no label outside.

    Returns
    -------
    numpy.ndarray, shape (row, column), uint8
        In the radiologist's view.
    """
    labels = np.zeros(brain.shape, dtype=np.uint8)
    if not brain.any():
        return labels
    box = bounding_box(brain)
    where, inside = registration.atlas_pixels[:, *box][:, brain[box]], labels[box][brain[box]]
    numbers = [item.number for item in REGION_SIDES if item.level is atlas.level]
    weights = {number: _moved(atlas.labels == number, where) for number in numbers}
    best = 1.0 - np.sum(list(weights.values()), axis=0)
    for number, weight in weights.items():
        wins = weight > best
        inside[wins] = number
        best = np.where(wins, weight, best)
    labels[box][brain[box]] = inside
    labels[box] = _without_strays(labels[box])
    return labels


def split_tissue(
    labels: LabelArray, hu: HuArray, spacing_mm: tuple[float, float]
) -> tuple[LabelArray, LabelArray]:
    """Leave CSF and calcification out of the regions.

    Parameters
    ----------
    labels : numpy.ndarray, shape (row, column), uint8
    hu : numpy.ndarray, shape (row, column), float32
        The slice on the same grid.
    spacing_mm : tuple of float

    Returns
    -------
    tissue, dense : numpy.ndarray, shape (row, column), uint8
        The regions' tissue, and what is denser; CSF is in neither.

    Notes
    -----
    A pixel counts as tissue where its HU, smoothed by 1 mm, lies within
    ``TISSUE_HU``: fresh ischaemia stays in, a sulcus or an old cavity goes.
    """
    sigma = tuple(_TISSUE_SIGMA_MM / step for step in spacing_mm)
    smooth = ndimage.gaussian_filter(hu, sigma)
    tissue = (smooth >= TISSUE_HU[0]) & (smooth <= TISSUE_HU[1])
    dense = smooth > TISSUE_HU[1]
    return _where(tissue, labels), _where(dense, labels)


def _moved(mask: MaskArray, where: FloatArray) -> HuArray:
    """Look a label up at places in the atlas, shape (2, places)."""
    weight = np.zeros(where.shape[1], dtype=np.float32)
    if not mask.any():
        return weight
    box = bounding_box(mask, margin=2)
    crop = mask[box].astype(np.float32)
    places = where - np.array([[part.start] for part in box])
    near = ((places > -1) & (places < np.array([[size] for size in crop.shape]))).all(axis=0)
    weight[near] = ndimage.map_coordinates(crop, places[:, near], order=1, cval=0.0)
    return weight


def _without_strays(labels: LabelArray) -> LabelArray:
    """Drop the small parts of a region that lie apart from its main part."""
    kept = labels.copy()
    for number in np.unique(labels[labels > 0]):
        parts, count = ndimage.label(labels == number)
        if count > 1:
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            stray = sizes < _STRAY_SHARE * sizes.max()
            stray[0] = False
            kept[stray[parts]] = 0
    return kept


def _where(mask: MaskArray, labels: LabelArray) -> LabelArray:
    return np.where(mask, labels, 0).astype(np.uint8)
