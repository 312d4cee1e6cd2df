"""A square grid that counts millimetres from its middle, down and across."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from pipeline.arrays import FloatArray, HuArray


def grid_points(shape: tuple[int, ...], grid_mm: float) -> FloatArray:
    """Return (down, across) in mm from the middle, shape (2, row, column).

    Examples
    --------
    >>> grid_points((3, 3), 0.5)[:, 0, 2].tolist()
    [-0.5, 0.5]
    """
    axes = [(np.arange(size) - (size - 1) / 2) * grid_mm for size in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def grid_index(points_mm: FloatArray, shape: tuple[int, ...], grid_mm: float) -> FloatArray:
    """Turn (down, across) in mm into (row, column) of the grid, shape (2, ...).

    Examples
    --------
    >>> points = grid_points((5, 7), 0.5)
    >>> grid_index(points, (5, 7), 0.5)[:, 4, 6].tolist()
    [4.0, 6.0]
    """
    middle = np.array([(size - 1) / 2 for size in shape])
    return np.asarray(points_mm / grid_mm + middle.reshape(2, *[1] * (points_mm.ndim - 1)))


def as_grid_image(array: HuArray, grid_mm: float) -> sitk.Image:
    """Wrap a picture as an ITK image whose points are (across, down) in mm."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((grid_mm, grid_mm))
    rows, columns = array.shape
    image.SetOrigin((-(columns - 1) / 2 * grid_mm, -(rows - 1) / 2 * grid_mm))
    return image
