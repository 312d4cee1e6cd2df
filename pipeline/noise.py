"""How noisy a slice is: the commonest local deviation within its tissue."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import HuArray, LabelArray

_WINDOW_MM: Final = 8.0  # in 5 mm, soft noise hardly varies: a quarter too low
_BIN_HU: Final = 0.1
_SMOOTH_BINS: Final = 3.0
_MOST_HU: Final = 40.0
_MIN_WINDOWS: Final = 50


def noise_hu(hu: HuArray, tissue: LabelArray, spacing_mm: tuple[float, float]) -> float | None:
    """Estimate the noise of a slice from the slice itself.

    The standard deviation is taken in a square of 8 mm about every pixel whose
    square holds tissue alone; the noise is the mode of their histogram. Where
    the square lies in one tissue it is the noise, where it spans two it is
    more: so the commonest value, not the mean. Unlike an estimate from the
    difference of neighbours it is no smaller for a soft kernel, whose noise is
    smooth.

    Parameters
    ----------
    hu : numpy.ndarray, shape (row, column), float32
    tissue : numpy.ndarray, shape (row, column), uint8
        Not zero where there is tissue.
    spacing_mm : tuple of float
        Between rows, then between columns.

    Returns
    -------
    float or None
        Standard deviation in HU; ``None`` where there is too little tissue.

    References
    ----------
    Christianson et al., "Automated technique to measure noise in clinical CT
    examinations", AJR 205 (2015).
    """
    inside = tissue > 0
    if not inside.any():
        return None
    size = tuple(max(3, round(_WINDOW_MM / step)) for step in spacing_mm)
    rows, columns = (np.flatnonzero(inside.any(axis=1 - axis)) for axis in (0, 1))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    mask = inside[window]
    plane = np.where(mask, hu[window], 0.0).astype(float)
    whole = ndimage.minimum_filter(mask, size, mode="constant")
    if whole.sum() < _MIN_WINDOWS:
        return None
    mean = ndimage.uniform_filter(plane, size)[whole]
    square = ndimage.uniform_filter(plane**2, size)[whole]
    count = size[0] * size[1]
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0) * count / (count - 1))
    edges = np.arange(0.0, _MOST_HU + _BIN_HU, _BIN_HU)
    histogram, _ = np.histogram(np.minimum(deviation, _MOST_HU), edges)
    smooth = ndimage.gaussian_filter1d(histogram.astype(float), _SMOOTH_BINS)
    return float(edges[int(smooth.argmax())] + _BIN_HU / 2)
