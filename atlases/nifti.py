"""Read a 2-D NIfTI picture as a radiologist looks at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from pipeline.geometry import in_plane_view


def read_in_view(path: Path) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    """Read a 2-D picture, whatever the order of its axes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    pixels : numpy.ndarray, shape (row, column)
        Rows run to posterior, columns to the patient's left.
    spacing_mm : tuple of float
        Between rows, then between columns.

    Notes
    -----
    ITK turns the axes of a NIfTI file into LPS: the columns of its direction
    matrix are the directions of increasing column and row index.
    """
    image = SimpleITK.ReadImage(str(path))
    along_columns, along_rows = np.reshape(image.GetDirection(), (2, 2)).T
    view = in_plane_view((*along_columns, 0.0, *along_rows, 0.0))
    column_spacing, row_spacing = image.GetSpacing()
    return view.apply(SimpleITK.GetArrayFromImage(image)), view.spacing(
        (row_spacing, column_spacing)
    )
