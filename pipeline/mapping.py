"""Move the atlas regions onto the native slices."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.arrays import LabelArray, frozen
from pipeline.regions import Level


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelMap:
    """The regions on one slice, on its native grid.

    Attributes
    ----------
    level : Level
    slice_index : int
    labels : numpy.ndarray, shape (row, column), uint8
        Full regions: 1-20, 0 elsewhere.
    tissue : numpy.ndarray, shape (row, column), uint8
        The same without CSF and calcification.
    """

    level: Level
    slice_index: int
    labels: LabelArray
    tissue: LabelArray

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        frozen(self.labels)
        frozen(self.tissue)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionMap:
    """The regions on both levels."""

    levels: Mapping[Level, LevelMap]
