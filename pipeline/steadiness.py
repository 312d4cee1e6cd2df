"""Tell from the skull whether the head kept still from slice to slice."""

from __future__ import annotations

from typing import Final

import numpy as np

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
    view = volume.view
    row_mm = view.spacing(volume.pixel_spacing_mm)[0]
    stride = max(1, round(_PIXEL_MM / row_mm))
    middles, places = [], []
    for hu, place in zip(
        view.apply(volume.voxels[near])[:, ::stride, ::stride], where[near], strict=True
    ):
        rows = np.nonzero(hu > _BONE_HU)[0]
        if rows.size:
            middles.append(np.percentile(rows, _SHARE_PERCENT).mean() * row_mm * stride)
            places.append(place)
    if len(middles) < 3:
        return 0.0
    expected = [
        np.interp(places[i], [places[i - 1], places[i + 1]], [middles[i - 1], middles[i + 1]])
        for i in range(1, len(middles) - 1)
    ]
    return 2 * float(np.median(np.abs(np.asarray(middles[1:-1]) - expected)))
