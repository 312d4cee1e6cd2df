"""The ten ASPECTS regions of each hemisphere: names, numbers, levels, colours.

The numbers are fixed for ever: they are the segment numbers of every SEG this
software sends. 1-10 lie in the patient's right hemisphere, 11-20 in the left.

References
----------
Barber et al., "Validity and reliability of a quantitative computed tomography
score in predicting outcome of hyperacute stroke before thrombolytic therapy",
Lancet 355 (2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Region(StrEnum):
    """One of the ten ASPECTS regions."""

    C = "C"
    L = "L"
    IC = "IC"
    I = "I"  # noqa: E741 - the region's name in the literature
    M1 = "M1"
    M2 = "M2"
    M3 = "M3"
    M4 = "M4"
    M5 = "M5"
    M6 = "M6"


class Side(StrEnum):
    """A hemisphere, from the patient's point of view."""

    RIGHT = "R"
    LEFT = "L"


class Level(StrEnum):
    """One of the two axial levels on which ASPECTS is read."""

    GANGLIONIC = "ganglionic"
    SUPRAGANGLIONIC = "supraganglionic"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSide:
    """One region of one hemisphere.

    Attributes
    ----------
    number : int
        Label value and segment number, 1-20.
    region, side, level
        Which region, whose side, on which of the two levels.
    title : str
        The region's name in words.
    rgb : tuple of int
        Display colour; the same for both sides.
    """

    number: int
    region: Region
    side: Side
    level: Level
    title: str
    rgb: tuple[int, int, int]

    @property
    def name(self) -> str:
        """Short name as printed everywhere, for example ``"R M1"``."""
        return f"{self.side} {self.region}"


LEFT_OFFSET: Final = 10
"""Added to an atlas label (1-10) to get the label of the left hemisphere."""

# Okabe-Ito hues, stretched to ten, so that neighbours differ for colour-blind
# readers too.
_TABLE: Final[tuple[tuple[Region, Level, str, tuple[int, int, int]], ...]] = (
    (Region.C, Level.GANGLIONIC, "Caudate nucleus", (230, 159, 0)),
    (Region.L, Level.GANGLIONIC, "Lentiform nucleus", (86, 180, 233)),
    (Region.IC, Level.GANGLIONIC, "Internal capsule", (240, 228, 66)),
    (Region.I, Level.GANGLIONIC, "Insula", (204, 121, 167)),
    (Region.M1, Level.GANGLIONIC, "Anterior MCA cortex, ganglionic level", (0, 158, 115)),
    (Region.M2, Level.GANGLIONIC, "Lateral MCA cortex, ganglionic level", (213, 94, 0)),
    (Region.M3, Level.GANGLIONIC, "Posterior MCA cortex, ganglionic level", (0, 114, 178)),
    (
        Region.M4,
        Level.SUPRAGANGLIONIC,
        "Anterior MCA cortex, supraganglionic level",
        (102, 194, 60),
    ),
    (
        Region.M5,
        Level.SUPRAGANGLIONIC,
        "Lateral MCA cortex, supraganglionic level",
        (250, 120, 110),
    ),
    (
        Region.M6,
        Level.SUPRAGANGLIONIC,
        "Posterior MCA cortex, supraganglionic level",
        (120, 110, 240),
    ),
)

REGION_SIDES: Final[tuple[RegionSide, ...]] = tuple(
    RegionSide(number=index + offset, region=region, side=side, level=level, title=title, rgb=rgb)
    for side, offset in ((Side.RIGHT, 0), (Side.LEFT, LEFT_OFFSET))
    for index, (region, level, title, rgb) in enumerate(_TABLE, start=1)
)
"""All twenty, in the order of their numbers."""


def region_side(number: int) -> RegionSide:
    """Return the region and side that a label value stands for.

    Parameters
    ----------
    number : int
        Label value, 1-20.

    Raises
    ------
    KeyError
        The number is not a label.

    Examples
    --------
    >>> region_side(15).name
    'L M1'
    """
    if not 1 <= number <= len(REGION_SIDES):
        raise KeyError(number)
    return REGION_SIDES[number - 1]


def at_level(level: Level) -> tuple[RegionSide, ...]:
    """Return the regions of both sides that are read on one level.

    Examples
    --------
    >>> [item.name for item in at_level(Level.SUPRAGANGLIONIC)]
    ['R M4', 'R M5', 'R M6', 'L M4', 'L M5', 'L M6']
    """
    return tuple(item for item in REGION_SIDES if item.level is level)
