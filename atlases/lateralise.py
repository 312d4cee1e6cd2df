"""Tell right from left in labels that both hemispheres share."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from pipeline.arrays import HuArray, LabelArray, MaskArray
from pipeline.regions import LEFT_OFFSET

SMALLEST_SHARE: Final = 0.05
"""A component smaller than this share of its side's largest is a stray."""


def midline_column(template: HuArray) -> float:
    """Find the column about which a template is most symmetric.

    Parameters
    ----------
    template : numpy.ndarray, shape (row, column), float32
        0 outside the brain.

    Returns
    -------
    float
        Column index, to half a pixel.

    Notes
    -----
    Correlating the rows with their mirror image is convolving them with
    themselves: the peak lies at twice the column of symmetry. The middle of
    the image is of no use, as the brain need not lie there.

    Examples
    --------
    >>> row = np.array([[0, 0, 1, 3, 2, 3, 1, 0, 0, 0, 0, 0]], dtype=np.float32)
    >>> midline_column(np.repeat(row, 3, axis=0))
    4.0
    """
    mirrored = signal.fftconvolve(template, template, mode="full", axes=1).sum(axis=0)
    return float(np.argmax(mirrored)) / 2


def lateralise(labels: LabelArray, midline: float) -> LabelArray:
    """Give the regions of the two hemispheres their own numbers.

    Each 4-connected component goes to the side on which its centroid lies; of
    each region and side the largest component stays, with any other of at
    least `SMALLEST_SHARE` of its area. The rest, strays of the drawing, become
    background.

    Parameters
    ----------
    labels : numpy.ndarray, shape (row, column), uint8
        1-10, shared by both hemispheres; columns run to the patient's left.
    midline : float
        Column index.

    Returns
    -------
    numpy.ndarray, shape (row, column), uint8
        1-10 right (the left half of the image), 11-20 left.

    Examples
    --------
    >>> lateralise(np.array([[0, 3, 0, 0, 3, 0]], dtype=np.uint8), 2.5).tolist()
    [[0, 3, 0, 0, 13, 0]]
    """
    lateral = np.zeros_like(labels)
    for value in np.unique(labels[labels > 0]):
        region = labels == value
        components, _ = ndimage.label(region)
        inside = components[region]
        areas = np.bincount(inside)
        columns = np.bincount(inside, weights=np.nonzero(region)[1]) / np.maximum(areas, 1)
        on_left = columns >= midline
        numbers = np.where(on_left, value + LEFT_OFFSET, value)
        numbers[_strays(areas, on_left)] = 0
        lateral[region] = numbers[inside]
    return lateral


def _strays(areas: npt.NDArray[np.int64], on_left: MaskArray) -> MaskArray:
    largest = [areas[on_left == side].max(initial=0) for side in (False, True)]
    strays: MaskArray = areas < SMALLEST_SHARE * np.take(largest, on_left.astype(int))
    return strays
