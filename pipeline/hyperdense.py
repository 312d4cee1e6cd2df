"""Look for what is brighter than brain inside the brain: fresh blood, mostly.

A cheap test on HU and size, not a detector: it finds large bleeds only, and
warns, because the regions were never meant for such a brain.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import MaskArray
from pipeline.brain import average_blocks
from pipeline.volume import Volume

BLEED_HU: Final = (58.0, 110.0)
"""Fresh blood lies between; calcification and bone above."""
_WORKING_MM: Final = 2.0
_RIM_MM: Final = 5.0  # partial volume of the skull is as bright as blood


def hyperdense_ml(volume: Volume, brain: MaskArray) -> float:
    """Measure the largest hyperdense cluster inside the brain.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool

    Returns
    -------
    float
        Millilitres; clusters hold together across slices, and are at least
        4 mm wide on each.
    """
    row_mm, column_mm = volume.pixel_spacing_mm
    factors = (max(1, round(_WORKING_MM / row_mm)), max(1, round(_WORKING_MM / column_mm)))
    hu = average_blocks(volume.voxels, factors)
    mask = average_blocks(brain.astype(np.float32), factors) > 0.99
    spacing = (row_mm * factors[0], column_mm * factors[1])
    inner = np.stack([_inner(one, spacing) for one in mask])
    bright = inner & (hu > BLEED_HU[0]) & (hu < BLEED_HU[1])
    square = np.ones((1, 2, 2), dtype=bool)
    labels, count = ndimage.label(ndimage.binary_opening(bright, square))
    if count == 0:
        return 0.0
    heights = np.gradient(volume.distances_mm)
    weights = np.broadcast_to(heights[:, None, None], labels.shape)
    sizes = ndimage.sum_labels(weights, labels, np.arange(1, count + 1))
    return float(sizes.max() * spacing[0] * spacing[1] / 1000.0)


def _inner(mask: MaskArray, spacing: tuple[float, float]) -> MaskArray:
    distance = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)
    return np.asarray(distance[1:-1, 1:-1] > _RIM_MM)
