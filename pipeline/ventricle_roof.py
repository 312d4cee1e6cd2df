"""Look for the roof of the lateral ventricles along z: where the supraganglionic level is.

Readers take the last slice, going up, on which both lateral ventricles are
still seen. How dark each slice is on both sides of the midline tells that
slice from the next, which shows white matter there.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.midline import Midline
from pipeline.volume import Volume, along_z

_ALONG: Final = np.linspace(-0.45, 0.45, 77)
_ACROSS: Final = np.linspace(-0.64, 0.64, 85)
"""Grid in units of the section's half length and half width: about 1 mm."""
_CENTRAL: Final = 0.4
_PARAMEDIAN: Final = (0.06, 0.34)  # beside the fissure, short of the insula
_REFERENCE: Final = (0.12, 0.6)
_DARKEST: Final = 40  # grid points, about 40 mm2
_SMOOTH: Final = 2.0  # grid points
_CLIP_HU: Final = (-20.0, 80.0)
_EVERY: Final = 7
"""Pixels of the mask that are looked at for its extent: one in so many."""

_SEEN_HU: Final = 6.5
_SEEN_SHARE: Final = 0.45
"""A ventricle is seen from here on, or from this share of the head's darkest slices:
beside wide ventricles, white matter is darker than in young brains."""
_SEEN_SOFTNESS_HU: Final = 2.0
_FAINTER: Final = 2 / 3
"""Weight of the side that is less dark: an infarct on one side is no ventricle."""
_MISTAKEN: Final = 0.05
_USUAL_STEP_MM: Final = 5.0


def roof_evidence(darkness: FloatArray, distances_mm: FloatArray) -> FloatArray:
    """Judge each slice: ventricles are seen on it, and 5 mm higher no more.

    Parameters
    ----------
    darkness : numpy.ndarray, shape (2, slice), float64
        From `paramedian_darkness`; what is not a number is not known.
    distances_mm : numpy.ndarray, shape (slice,), float64
        Rising; where slices lie further apart than 5 mm, the next one counts.

    Returns
    -------
    numpy.ndarray, shape (slice,), float64
        Log probability of what is seen if the slice is the supraganglionic level.
        It never falls below log(0.05): what is dark may be something else. The
        same for all slices where nothing is known.

    Examples
    --------
    >>> darkness = np.array([[20.0, 20, 12, 3, 3], [20.0, 18, 12, 3, 3]])
    >>> int(roof_evidence(darkness, np.arange(5) * 5.0).argmax())
    2
    """
    both = _FAINTER * darkness.min(axis=0) + (1 - _FAINTER) * darkness.max(axis=0)
    known = np.isfinite(both)
    if not known.any():
        return np.zeros(len(both))
    following = np.append(distances_mm[1:], np.inf)
    above = np.maximum(distances_mm + _USUAL_STEP_MM, following)
    higher = np.interp(above, distances_mm[known], both[known], right=np.nan)
    least = max(_SEEN_HU, _SEEN_SHARE * float(np.quantile(both[known], 0.9)))
    seen = np.where(known, _seen(both, least), 0.0)
    # above the scan, or without brain, anything may be
    seen_higher = np.where(np.isfinite(higher), _seen(higher, least), 0.5)
    return np.asarray(np.log(_MISTAKEN + (1 - _MISTAKEN) * seen * (1 - seen_higher)))


def _seen(darkness_hu: FloatArray, least_hu: float) -> FloatArray:
    return np.asarray(1 / (1 + np.exp((least_hu - darkness_hu) / _SEEN_SOFTNESS_HU)))


def paramedian_darkness(volume: Volume, brain: MaskArray, midline: Midline) -> FloatArray:
    """Measure how much darker than the brain around it the middle of each side is.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool
        Not empty.
    midline : Midline
        Of the head, in the radiologist's view.

    Returns
    -------
    numpy.ndarray, shape (2, slice), float64
        Hounsfield units, of the patient's right (row 0) and left; about 20 where
        a ventricle fills the slice, 2 to 6 where only noise is; not a number
        where there is too little brain.
        Thin slices are averaged over 5 mm and looked at every 2.4 mm or more;
        between those, the darkness is interpolated.
    """
    view = volume.view
    to_pixels = midline.to_pixels(view.spacing(volume.pixel_spacing_mm))
    return along_z(
        volume,
        brain,
        lambda hu, mask: _sides(*_sampled(view.apply(hu), view.apply(mask), to_pixels)),
        otherwise=np.nan,
    )


def _sampled(hu: HuArray, brain: MaskArray, to_pixels: FloatArray) -> tuple[FloatArray, MaskArray]:
    """Sample the middle of a section on a grid in its own proportions."""
    places = np.argwhere(brain)[::_EVERY]
    inside = (places - to_pixels[:, 2]) @ np.linalg.inv(to_pixels[:, :2]).T
    low, high = np.percentile(inside, [1, 99], axis=0)
    half, middle = (high - low) / 2, (high + low) / 2
    along, across = np.meshgrid(_ALONG * half[0], _ACROSS * half[1], indexing="ij")
    # across, the midline counts for as much as the mask's own middle
    points = np.stack((middle[0] + along, middle[1] / 2 + across)).reshape(2, -1)
    pixels = to_pixels @ np.vstack((points, np.ones(points.shape[1])))
    picture = ndimage.map_coordinates(np.clip(hu, *_CLIP_HU), pixels, order=1)
    mask = ndimage.map_coordinates(brain.astype(np.uint8), pixels, order=0)
    return picture.reshape(along.shape), mask.reshape(along.shape) > 0


def _sides(picture: FloatArray, mask: MaskArray) -> tuple[float, float]:
    weight = ndimage.gaussian_filter(mask.astype(np.float64), _SMOOTH)
    smooth = ndimage.gaussian_filter(np.where(mask, picture, 0.0), _SMOOTH)
    smooth /= np.maximum(weight, 0.05)
    off = np.abs(_ACROSS)
    reference = mask & (off > _REFERENCE[0]) & (off < _REFERENCE[1])
    if not reference.any():
        return 0.0, 0.0
    brain_hu = float(np.median(smooth[reference]))
    central = mask & (np.abs(_ALONG) <= _CENTRAL)[:, None]
    near, far = _PARAMEDIAN
    # of the view's left half first: the patient's right
    right, left = (
        brain_hu - _darkest(smooth[central & (place > near) & (place < far)], brain_hu)
        for place in (-_ACROSS, _ACROSS)
    )
    return right, left


def _darkest(hu: FloatArray, otherwise: float) -> float:
    if len(hu) < _DARKEST:
        return otherwise
    return float(np.partition(hu, _DARKEST - 1)[:_DARKEST].mean())
