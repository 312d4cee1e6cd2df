"""Tell from the skull whether the head kept still from slice to slice."""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.volume import Volume

_BONE_HU: Final = 200.0
_SHARE_PERCENT: Final = (2.0, 98.0)  # a tube or a clip does not count
_REACH_MM: Final = 20.0
_STRIDE: Final = 2


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
        Median size of the second difference of the skull's middle, front to
        back, in mm: a tilted head moves evenly and gives nothing. 0 where fewer
        than three slices show bone.

    Notes
    -----
    From side to side the middle is noisier, by ears, cheeks and head rests.
    """
    where = volume.distances_mm
    near = (where >= where[first] - _REACH_MM) & (where <= where[last] + _REACH_MM)
    view = volume.view
    row_mm = view.spacing(volume.pixel_spacing_mm)[0]
    middles = []
    for hu in view.apply(volume.voxels[near])[:, ::_STRIDE, ::_STRIDE]:
        rows = np.nonzero(hu > _BONE_HU)[0]
        if rows.size:
            middles.append(np.percentile(rows, _SHARE_PERCENT).mean() * row_mm * _STRIDE)
    if len(middles) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(middles, 2))))
