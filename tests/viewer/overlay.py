"""Which regions a viewer shows on which pixels, seen in its screenshots alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.arrays import HuArray, LabelArray
from pipeline.regions import LEFT_OFFSET, REGION_SIDES

Screenshot = npt.NDArray[np.uint8]
"""Shape (row, column, 3)."""
_CHANGED = 12
_MIN_OPACITY = 0.15
_COLOURS = np.array([item.rgb for item in REGION_SIDES if item.number <= LEFT_OFFSET], dtype=float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Where an image lies in a viewport: whole, in its middle, as large as fits.

    Attributes
    ----------
    viewport : tuple of int
        Rows and columns of the screenshot.
    image : tuple of int
        Rows and columns of the image.
    pixel_spacing : tuple of float
        Between rows, then between columns, in mm.
    """

    viewport: tuple[int, int]
    image: tuple[int, int]
    pixel_spacing: tuple[float, float]

    def sample(self, image: npt.NDArray[Any], order: int) -> npt.NDArray[Any]:
        """Return an image as it should appear; -1 or less where there is none."""
        size_mm = np.multiply(self.image, self.pixel_spacing)
        scale = float(np.min(np.divide(self.viewport, size_mm)))
        centre_of_pixels = np.mgrid[: self.viewport[0], : self.viewport[1]] + 0.5
        places = [
            (centre - length / 2) / scale / spacing + count / 2 - 0.5
            for centre, length, spacing, count in zip(
                centre_of_pixels, self.viewport, self.pixel_spacing, self.image, strict=True
            )
        ]
        return np.asarray(
            ndimage.map_coordinates(image.astype(float), places, order=order, cval=-3000.0)
        )


def likeness(
    plain: Screenshot, hu: HuArray, window: tuple[float, float], placing: Placing
) -> float:
    """Correlate a screenshot without overlay with the CT slice that it should show.

    Parameters
    ----------
    plain : numpy.ndarray, shape (row, column, 3), uint8
    hu : numpy.ndarray, shape (row, column), float32
    window : tuple of float
        Centre and width in HU.
    placing : Placing
    """
    centre, width = window
    expected = np.clip((placing.sample(hu, 1) - centre) / width + 0.5, 0, 1)
    return float(np.corrcoef(expected.ravel(), plain.mean(axis=-1).ravel())[0, 1])


def shown_regions(plain: Screenshot, overlaid: Screenshot) -> LabelArray:
    """Tell the region at each pixel by its colour, which both sides share.

    Parameters
    ----------
    plain, overlaid : numpy.ndarray, shape (row, column, 3), uint8
        The same view without and with the overlay, which may be transparent.

    Returns
    -------
    numpy.ndarray, shape (row, column), uint8
        Number of the right region, 1-10; 0 where nothing changed.
    """
    difference = overlaid.astype(float) - plain
    changed = np.abs(difference).max(axis=-1) > _CHANGED
    before, added = plain[changed].astype(float), difference[changed]
    towards = _COLOURS[:, None] - before
    opacity = (towards * added).sum(-1) / np.maximum((towards**2).sum(-1), 1)
    residual = np.abs(added - np.clip(opacity, _MIN_OPACITY, 1)[..., None] * towards).sum(-1)
    found = np.zeros(changed.shape, dtype=np.uint8)
    found[changed] = residual.argmin(axis=0) + 1
    return found


def overlaps(shown: LabelArray, labels: LabelArray, placing: Placing) -> dict[int, float]:
    """Return the Dice overlap of what is shown with the truth, for each colour.

    Parameters
    ----------
    shown : numpy.ndarray, shape (row, column), uint8
        Of ``shown_regions``.
    labels : numpy.ndarray, shape (row, column), uint8
        The truth on the slice, 1-20.
    placing : Placing

    Returns
    -------
    dict of int to float
        By the number of the right region, for those that are shown or should
        be; under 0 that of all regions as one.
    """
    truth = np.maximum(placing.sample(labels, 0), 0).astype(int)
    truth[truth > LEFT_OFFSET] -= LEFT_OFFSET
    numbers = sorted({*np.unique(shown).tolist(), *np.unique(truth).tolist()} - {0})
    found = {number: _dice(shown == number, truth == number) for number in numbers}
    return {0: _dice(shown > 0, truth > 0), **found}


def _dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
