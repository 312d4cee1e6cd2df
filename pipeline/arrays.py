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
