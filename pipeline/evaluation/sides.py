"""Tell right from left in regions that a reader numbered alike on both sides."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage, stats

from pipeline.arrays import FloatArray, LabelArray
from pipeline.regions import LEFT_OFFSET

_PAIR: Final = 2


def with_sides(labels: LabelArray) -> LabelArray:
    """Give the regions of the left the numbers 11-20.

    The two largest parts of each region are taken for its two sides; the
    midline runs through the middles between them, turned as the head is. Each
    part goes to the side on which its centroid lies.

    Parameters
    ----------
    labels : numpy.ndarray, shape (row, column), uint8
        1-10 on both sides, in the radiologist's view.

    Returns
    -------
    numpy.ndarray, shape (row, column), uint8
        1-10 right (the left half of the image), 11-20 left.

    Raises
    ------
    ValueError
        No region has two parts, so that there is no midline.

    Examples
    --------
    >>> with_sides(np.array([[3, 0, 0, 3], [4, 4, 0, 4]], dtype=np.uint8)).tolist()
    [[3, 0, 0, 13], [4, 4, 0, 14]]
    """
    parts = {int(value): _parts(labels == value) for value in np.unique(labels[labels > 0])}
    middles = np.array(
        [centroids[:_PAIR].mean(axis=0) for _, centroids in parts.values() if len(centroids) > 1]
    )
    if not len(middles):
        raise ValueError("no region has two parts: number those of the left 11-20")
    slope, start = _line(middles)
    lateral = labels.copy()
    for value, (numbered, centroids) in parts.items():
        for number, (row, column) in enumerate(centroids, start=1):
            if column > start + slope * row:
                lateral[numbered == number] = value + LEFT_OFFSET
    return lateral


def _parts(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> tuple[LabelArray, FloatArray]:
    """Sort the parts of a mask by size, and find their centroids."""
    found, count = ndimage.label(mask)
    sizes = np.bincount(found.ravel(), minlength=count + 1)[1:]
    order = 1 + np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, dtype=np.uint8)
    rank[order[:255]] = np.arange(1, min(count, 255) + 1)
    centroids = np.array(ndimage.center_of_mass(mask, found, order[:255]))
    return rank[found], centroids


def _line(middles: FloatArray) -> tuple[float, float]:
    """Return slope and start of the column of the midline over the row."""
    rows, columns = middles.T
    if np.ptp(rows) < 1:
        return 0.0, float(np.median(columns))
    slope, start, *_ = stats.theilslopes(columns, rows)
    return float(slope), float(start)
