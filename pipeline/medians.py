"""Medians of densities that come in whole Hounsfield units."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.arrays import FloatArray

Counts = npt.NDArray[np.float64]
"""How often each whole HU occurs, shape (..., bins)."""


def grouped_median(values: npt.NDArray[np.floating]) -> float:
    """Return the median of values counted in steps of 1 HU, interpolated in its step.

    CT stores whole HU, so that a plain median jumps by 1 HU, as much as early
    ischaemia may change it. Here a step stands for values spread evenly over it.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
        HU; not empty, finite.

    Examples
    --------
    >>> grouped_median(np.array([30.0, 31.0, 31.0, 32.0]))
    31.0
    >>> grouped_median(np.array([30.0, 31.0, 31.0, 31.0]))
    30.833333333333332
    """
    steps = np.rint(values).astype(np.int64)
    low = int(steps.min())
    return float(medians_of_counts(np.bincount(steps - low).astype(float), low))


def medians_of_counts(counts: Counts, low: int) -> FloatArray:
    """Return the grouped median of each row of counts.

    Parameters
    ----------
    counts : numpy.ndarray, shape (..., bins), float64
        No row is all zero.
    low : int
        HU of the first bin.

    Returns
    -------
    numpy.ndarray, shape (...)
    """
    below = np.cumsum(counts, axis=-1)
    half = below[..., -1:] / 2
    step = (below <= half).sum(axis=-1, keepdims=True)
    within = np.take_along_axis(counts, step, axis=-1)
    before = np.take_along_axis(below, step, axis=-1) - within
    return np.asarray((low + step - 0.5 + (half - before) / within)[..., 0], dtype=float)
