"""What one reader, a person or a method, says about one head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.arrays import LabelArray, frozen
from pipeline.regions import Level


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """The regions as one reader drew them, and the slices they were drawn on.

    Attributes
    ----------
    reader : str
    labels : mapping of Level to numpy.ndarray, shape (row, column), uint8
        1-20, in the radiologist's view; a level may be missing.
    slices : mapping of Level to int
        0-based slice, the lowest first; a level may be missing.
    """

    reader: str
    labels: Mapping[Level, LabelArray]
    slices: Mapping[Level, int]

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        for labels in self.labels.values():
            frozen(labels)
