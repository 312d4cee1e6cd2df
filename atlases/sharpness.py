"""How much a template holds, and how sharp it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize, special, stats

from pipeline.arrays import FloatArray, HuArray, MaskArray

BRAIN_WINDOW_HU: Final = (0, 80)
"""What `entropy_brain` looks at, in bins of 1 HU."""
_RIM_MM: Final = 3.0
_NORMAL_SIGMA_MM: Final = 0.5
_REACH_MM: Final = 4.0
_STEP_MM: Final = 0.25
_FLUID_HU: Final = 20.0
_TISSUE_HU: Final = 28.0
_TO_10_90: Final = 2 * special.ndtri(0.9)


def brain_of(template: HuArray) -> MaskArray:
    """Return the brain of a template: its largest part above 0 HU, holes filled.

    Parameters
    ----------
    template : numpy.ndarray, shape (row, column), float32
    """
    parts, count = ndimage.label(template > 0)
    if count == 0:
        return np.zeros(template.shape, dtype=bool)
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(parts == largest))


def entropy_full(template: HuArray) -> float:
    """Return the entropy in bits as the paper has it: background and all.

    Every pixel counts, scaled from the least to the greatest value to 0-255,
    in 256 bins.

    Parameters
    ----------
    template : numpy.ndarray, shape (row, column), float32

    References
    ----------
    Sun et al., Sci Data 11, 1132 (2024), Table 2.

    Examples
    --------
    Half of the picture is background; more of it lowers the figure:

    >>> half = np.array([[0, 0, 10, 20]], dtype=np.float32)
    >>> entropy_full(half)
    1.5
    >>> round(entropy_full(np.pad(half, ((0, 0), (0, 4)))), 2)
    1.06
    """
    low, high = float(template.min()), float(template.max())
    if high == low:
        return 0.0
    levels = np.rint((template.astype(np.float64) - low) * (255 / (high - low))).astype(int)
    return _bits(np.bincount(levels.ravel(), minlength=256))


def entropy_brain(template: HuArray, brain: MaskArray) -> float:
    """Return the entropy in bits inside the brain, 0-80 HU in bins of 1 HU.

    Neither the field of view nor the brightest pixel changes it. The bins are
    as wide as the steps of an integer template: finer ones would credit a
    template in floating point with 2 bits that are only its number format.

    Parameters
    ----------
    template : numpy.ndarray, shape (row, column), float32
    brain : numpy.ndarray, shape (row, column), bool
    """
    low, high = BRAIN_WINDOW_HU
    levels = np.rint(np.clip(template[brain], low, high)).astype(int) - low
    return _bits(np.bincount(levels))


def _bits(counts: npt.NDArray[np.int64]) -> float:
    return float(stats.entropy(counts, base=2)) if counts.sum() else float("nan")


def gradient_map(template: HuArray, spacing_mm: tuple[float, float]) -> FloatArray:
    """Return the size of the gradient in HU/mm, from central differences.

    Examples
    --------
    >>> ramp = np.tile(np.arange(4, dtype=np.float32), (3, 1))
    >>> gradient_map(ramp, (0.5, 0.5))[1].tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    down, across = np.gradient(template.astype(np.float64), *spacing_mm)
    size: FloatArray = np.hypot(down, across)
    return size


def gradient_sharpness(
    template: HuArray, brain: MaskArray, spacing_mm: tuple[float, float]
) -> float:
    """Return the mean gradient inside the brain in HU/mm, 3 mm from its rim.

    Noise raises it, too: compare templates of equal noise, or `edge_width_mm`.
    """
    depth = ndimage.distance_transform_edt(brain, sampling=spacing_mm)
    inside = depth > _RIM_MM
    return float(gradient_map(template, spacing_mm)[inside].mean()) if inside.any() else np.nan


def edge_width_mm(template: HuArray, caudate: MaskArray, spacing_mm: tuple[float, float]) -> float:
    """Return how far the caudate takes to become ventricle, 10 to 90 %, in mm.

    From each pixel of the caudate's border a profile runs along the gradient.
    Those that begin in tissue and end in fluid are fitted with an error
    function; the median of their widths is returned.

    Parameters
    ----------
    template : numpy.ndarray, shape (row, column), float32
    caudate : numpy.ndarray, shape (row, column), bool
        Of one side or both.
    spacing_mm : tuple of float

    Returns
    -------
    float
        NaN where no profile reaches fluid.
    """
    widths = [
        _fitted_width(profile) for profile in _profiles(template, caudate, np.array(spacing_mm))
    ]
    found = [width for width in widths if np.isfinite(width)]
    return float(np.median(found)) if found else float("nan")


def _profiles(template: HuArray, mask: MaskArray, spacing: FloatArray) -> Iterator[FloatArray]:
    """Yield the profiles across a border that run from tissue to fluid."""
    border = mask & ~ndimage.binary_erosion(mask)
    sigma = _NORMAL_SIGMA_MM / spacing
    slopes = [
        ndimage.gaussian_filter(template.astype(np.float64), sigma, order=order) / step
        for order, step in zip(((1, 0), (0, 1)), spacing, strict=True)
    ]
    along = _positions()
    for row, column in np.argwhere(border):
        downhill = -np.array([slope[row, column] for slope in slopes])
        size = np.hypot(*downhill)
        if size == 0:
            continue
        steps = along * (downhill / size / spacing)[:, None]
        profile = ndimage.map_coordinates(
            template, steps + np.array([[row], [column]]), order=1, mode="nearest"
        )
        if profile[: len(along) // 4].mean() >= _TISSUE_HU and profile[-1] <= _FLUID_HU:
            yield np.asarray(profile, dtype=np.float64)


def _positions() -> FloatArray:
    return np.arange(-_REACH_MM, _REACH_MM + _STEP_MM / 2, _STEP_MM, dtype=np.float64)


def _fitted_width(profile: FloatArray) -> float:
    start = (float(profile.mean()), float(profile[-1] - profile[0]) / 2, 0.0, 1.0)
    low = (-200.0, -200.0, -_REACH_MM, 0.05)
    high = (200.0, 200.0, _REACH_MM, 2 * _REACH_MM)
    fit, _ = optimize.curve_fit(_edge, _positions(), profile, p0=start, bounds=(low, high))
    return float(_TO_10_90 * fit[3])


def _edge(x: FloatArray, middle: float, half: float, place: float, sigma: float) -> FloatArray:
    edge: FloatArray = middle + half * special.erf((x - place) / (np.sqrt(2) * sigma))
    return edge
