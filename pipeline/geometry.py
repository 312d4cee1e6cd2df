"""Pure functions between voxel indices and patient space (LPS, mm)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.arrays import FloatArray

_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def slice_normal(image_orientation: Sequence[float] | FloatArray) -> FloatArray:
    """Return the unit normal of a slice, along columns x along rows.

    Parameters
    ----------
    image_orientation : sequence of float, length 6
        ``ImageOrientationPatient`` (0020,0037): unit vector of increasing
        column index, then unit vector of increasing row index.

    Returns
    -------
    numpy.ndarray, shape (3,), float64

    References
    ----------
    DICOM PS3.3, C.7.6.2.1.1 "Image Position and Image Orientation".

    Examples
    --------
    >>> slice_normal((1, 0, 0, 0, 1, 0)).tolist()
    [0.0, 0.0, 1.0]
    """
    along_columns, along_rows = np.reshape(np.asarray(image_orientation, dtype=float), (2, 3))
    normal = np.cross(along_columns, along_rows)
    return np.asarray(normal / np.linalg.norm(normal), dtype=float)


def pixel_affine(
    image_position: Sequence[float] | FloatArray,
    image_orientation: Sequence[float] | FloatArray,
    pixel_spacing: Sequence[float],
) -> FloatArray:
    """Map the (row, column) indices of one slice to patient coordinates.

    Parameters
    ----------
    image_position : sequence of float, length 3
        ``ImagePositionPatient`` (0020,0032), mm, LPS: the centre of the top
        left pixel.
    image_orientation : sequence of float, length 6
        ``ImageOrientationPatient`` (0020,0037).
    pixel_spacing : sequence of float, length 2
        ``PixelSpacing`` (0028,0030) in mm: the distance between rows, then the
        distance between columns.

    Returns
    -------
    numpy.ndarray, shape (3, 3), float64
        ``affine @ (row, column, 1)`` is the centre of that pixel, in mm, LPS.

    References
    ----------
    DICOM PS3.3, C.7.6.2.1.1 "Image Position and Image Orientation". Equation
    C.7.6.2.1-1 orders the indices (column, row); here the order is that of
    the array.

    Examples
    --------
    >>> axial = (1, 0, 0, 0, 1, 0)
    >>> affine = pixel_affine((-120, -130, 40), axial, (0.5, 0.4))
    >>> (affine @ (10, 100, 1)).tolist()
    [-80.0, -125.0, 40.0]
    """
    along_columns, along_rows = np.reshape(np.asarray(image_orientation, dtype=float), (2, 3))
    row_spacing, column_spacing = pixel_spacing
    return np.column_stack(
        (
            along_rows * row_spacing,
            along_columns * column_spacing,
            np.asarray(image_position, float),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlaneView:
    """How to turn a slice so that rows run to posterior and columns to left.

    A radiologist's axial view: the patient's right at the left edge, anterior
    at the top. The turn is a transposition and flips only, so that it is exact
    and can be undone.

    Attributes
    ----------
    transpose : bool
        Rows and columns are exchanged first.
    flip_rows, flip_columns : bool
        Applied after the transposition.
    """

    transpose: bool
    flip_rows: bool
    flip_columns: bool

    def apply(self, array: _Array) -> _Array:
        """Turn the last two axes of an array into the radiologist's view."""
        view: Any = np.swapaxes(array, -1, -2) if self.transpose else array
        if self.flip_rows:
            view = view[..., ::-1, :]
        if self.flip_columns:
            view = view[..., ::-1]
        result: _Array = view
        return result

    def undo(self, array: _Array) -> _Array:
        """Turn the last two axes back to the native grid.

        Examples
        --------
        >>> view = InPlaneView(transpose=True, flip_rows=True, flip_columns=False)
        >>> a = np.arange(6).reshape(2, 3)
        >>> bool((view.undo(view.apply(a)) == a).all())
        True
        """
        view: Any = array
        if self.flip_columns:
            view = view[..., ::-1]
        if self.flip_rows:
            view = view[..., ::-1, :]
        if self.transpose:
            view = np.swapaxes(view, -1, -2)
        result: _Array = view
        return result

    def spacing(self, pixel_spacing: tuple[float, float]) -> tuple[float, float]:
        """Return (row, column) spacing in mm as seen in the view."""
        return (pixel_spacing[1], pixel_spacing[0]) if self.transpose else pixel_spacing


def in_plane_view(image_orientation: Sequence[float] | FloatArray) -> InPlaneView:
    """Find the turn that brings a slice nearest to the radiologist's view.

    Parameters
    ----------
    image_orientation : sequence of float, length 6
        ``ImageOrientationPatient`` (0020,0037) of a roughly axial slice.

    Returns
    -------
    InPlaneView

    Examples
    --------
    A patient lying face down, head first: both axes run the other way.

    >>> in_plane_view((-1, 0, 0, 0, -1, 0))
    InPlaneView(transpose=False, flip_rows=True, flip_columns=True)
    """
    along_columns, along_rows = np.reshape(np.asarray(image_orientation, dtype=float), (2, 3))
    transpose = abs(along_columns[0]) < abs(along_rows[0])
    right_left, front_back = (
        (along_rows, along_columns) if transpose else (along_columns, along_rows)
    )
    return InPlaneView(
        transpose=bool(transpose),
        flip_rows=bool(front_back[1] < 0),
        flip_columns=bool(right_left[0] < 0),
    )
