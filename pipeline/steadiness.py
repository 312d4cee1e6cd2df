"""Tell from the skull whether the head kept still from slice to slice."""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.arrays import MaskArray
from pipeline.volume import Volume

_BONE_HU: Final = 200.0
_SHARE_PERCENT: Final = (2.0, 98.0)  # a tube or a clip does not count
_REACH_MM: Final = 20.0
_PIXEL_MM: Final = 0.9  # finer pixels tell no more


def jitter_mm(volume: Volume, first: int, last: int) -> float:
    """Measure how the skull jumps to and fro between neighbouring slices.

    Parameters
    ----------
    volume : Volume
    first, last : int
        The two levels; slices up to 20 mm beyond them are looked at too.

    Returns
    -------
    float
        How far the skull's middle, front to back, lies from where the slices
        above and below would have it, twice the median over the slices, in mm:
        a tilted head moves evenly and gives nothing. 0 where fewer than three
        slices show bone.

    Notes
    -----
    From side to side the middle is noisier, by ears, cheeks and head rests.
    """
    where = volume.distances_mm
    near = (where >= where[first] - _REACH_MM) & (where <= where[last] + _REACH_MM)
    stride = max(1, round(_PIXEL_MM / min(volume.pixel_spacing_mm)))
    middles, places = [], []
    for index in np.flatnonzero(near):
        rows, columns = np.nonzero(volume.voxels[index, ::stride, ::stride] > _BONE_HU)
        if rows.size:
            # a tilted gantry shifts its pictures against each other, not the head
            to_posterior = volume.pixel_affines[index][1]
            posterior_mm = to_posterior @ (rows * stride, columns * stride, np.ones(rows.size))
            middles.append(np.percentile(posterior_mm, _SHARE_PERCENT).mean())
            places.append(where[index])
    if len(middles) < 3:
        return 0.0
    expected = [
        np.interp(places[i], [places[i - 1], places[i + 1]], [middles[i - 1], middles[i + 1]])
        for i in range(1, len(middles) - 1)
    ]
    jumps_mm = 2 * float(np.median(np.abs(np.asarray(middles[1:-1]) - expected)))
    return max(0.0, jumps_mm - _tilt_allowance_mm(volume, near))


def _tilt_allowance_mm(volume: Volume, near: MaskArray) -> float:
    """Return twice the shift of neighbouring planes of a tilted gantry.

    Scanners that take several slices in one turn shift the table between the
    turns only, and the header tells it as if it moved evenly.
    """
    affines = volume.pixel_affines[near]
    along_rows = affines[:-1, :, 0] / np.linalg.norm(affines[:-1, :, 0], axis=1, keepdims=True)
    steps_mm = np.diff(affines[:, :, 2], axis=0)
    return 2 * float(np.median(np.abs((steps_mm * along_rows).sum(axis=1))))
