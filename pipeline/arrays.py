"""Array types, and the one way in which a dataclass freezes its arrays."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
"""Coordinates and transforms: float64."""
HuArray = npt.NDArray[np.float32]
"""Hounsfield units: float32."""
MaskArray = npt.NDArray[np.bool_]
"""A mask: bool."""
LabelArray = npt.NDArray[np.uint8]
"""Region numbers: uint8."""

_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def frozen(array: _Array) -> _Array:
    """Return the array, made read-only.

    Examples
    --------
    >>> frozen(np.zeros(2)).flags.writeable
    False
    """
    array.flags.writeable = False
    return array


def bounding_box(mask: MaskArray, margin: int = 0) -> tuple[slice, slice]:
    """Bound a mask: what lies outside need not be looked at.

    Parameters
    ----------
    mask : numpy.ndarray, shape (row, column), bool
        Not empty.
    margin : int
        Pixels more on every side, where the array has them.

    Examples
    --------
    >>> mask = np.zeros((5, 9), dtype=bool)
    >>> mask[2:4, 3] = True
    >>> bounding_box(mask, margin=1)
    (slice(1, 5, None), slice(2, 5, None))
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )
