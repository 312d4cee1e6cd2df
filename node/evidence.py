"""What speaks for a series being complete: pure functions, no clock.

In this order: the sender's own count, then geometry. A head whose slices are
regular and reach from the skull base to the vertex lacks nothing that the
method needs, whatever else the sender may still hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_MIN_SLICES: Final = 5
_MIN_COVERAGE_MM: Final = 100.0
_SPACING_TOLERANCE_MM: Final = 0.2
_ANGLE_TOLERANCE: Final = 1e-3
_MIN_RUN: Final = 3


class Evidence(StrEnum):
    """What is known of a series that was quiet for a moment."""

    COUNT = "count"
    """The sender holds no more images of it than we do."""
    GEOMETRY = "geometry"
    """Its slices are regular, cover a head, and nobody is sending more."""
    NONE = "none"
    """Nobody is sending more, but the slices do not look complete."""
    OPEN = "open"
    """An association that brought images of it is still open."""
    SHORT = "short"
    """The sender holds more images of it than we do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a slice lies.

    Attributes
    ----------
    position : tuple of float, length 3
        ``ImagePositionPatient`` (0020,0032), mm, LPS.
    orientation : tuple of float, length 6
        ``ImageOrientationPatient`` (0020,0037).
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]

    @property
    def normal(self) -> tuple[float, float, float]:
        """Unit vector across the slice, for unit row and column vectors."""
        (a, b, c), (d, e, f) = self.orientation[:3], self.orientation[3:]
        return b * f - c * e, c * d - a * f, a * e - b * d


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """All that is known of a series.

    Attributes
    ----------
    images : int
        On disk.
    places : tuple of Place or None
        One for each image; None where its header has none.
    is_held : bool
        An association that brought images of it is open.
    expected : int or None
        How many images the sender holds; None where it was not asked or does
        not say.
    """

    images: int
    places: tuple[Place | None, ...]
    is_held: bool
    expected: int | None = None


def weigh(clues: Clues) -> Evidence:
    """Tell what speaks for or against a series being complete.

    Examples
    --------
    >>> weigh(Clues(images=3, places=(), is_held=True, expected=3))
    <Evidence.COUNT: 'count'>
    >>> weigh(Clues(images=3, places=(), is_held=False, expected=4))
    <Evidence.SHORT: 'short'>
    """
    if clues.expected is not None:
        return Evidence.COUNT if clues.images >= clues.expected else Evidence.SHORT
    if clues.is_held:
        return Evidence.OPEN
    return Evidence.GEOMETRY if is_whole_head(clues.places) else Evidence.NONE


def place_of(position: Any, orientation: Any) -> Place | None:
    """Return the place of a slice, or None where the values are unusable.

    Examples
    --------
    >>> place_of(["0", "0", "5"], [1, 0, 0, 0, 1, 0]).normal
    (0.0, 0.0, 1.0)
    >>> place_of(None, None)
    """
    try:
        place = Place(
            position=tuple(float(value) for value in position),
            orientation=tuple(float(value) for value in orientation),
        )
    except (TypeError, ValueError):
        return None
    numbers = (*place.position, *place.orientation)
    is_whole = (len(place.position), len(place.orientation)) == (3, 6)
    return place if is_whole and all(map(math.isfinite, numbers)) else None


def is_whole_head(places: Sequence[Place | None]) -> bool:
    """Tell whether slices are parallel, without a gap, and at least 100 mm in all.

    One change of spacing is allowed: many heads are finer at the skull base.
    """
    known = [place for place in places if place is not None]
    if len(known) < max(_MIN_SLICES, len(places)) or not _are_parallel(known):
        return False
    gaps = _gaps_mm(known)
    return sum(gaps) + max(gaps) >= _MIN_COVERAGE_MM and _is_regular(gaps)


def describe_gaps(places: Sequence[Place | None]) -> str:
    """Say in words what the geometry of a series lacks; empty where nothing.

    Examples
    --------
    >>> flat = (1, 0, 0, 0, 1, 0)
    >>> describe_gaps([Place(position=(0, 0, z), orientation=flat) for z in (0, 5, 10, 20, 25)])
    'slices cover 30 mm, 1 gap wider than the spacing of 5 mm'
    """
    known = [place for place in places if place is not None]
    if len(known) < max(2, len(places)) or not _are_parallel(known):
        return "slices without a common geometry"
    if is_whole_head(places):
        return ""
    gaps = _gaps_mm(known)
    spacing = sorted(gaps)[len(gaps) // 2]
    wide = sum(gap > spacing + _SPACING_TOLERANCE_MM for gap in gaps)
    text = f"slices cover {sum(gaps) + spacing:.0f} mm"
    if wide:
        text += f", {wide} gap{'s' * (wide > 1)} wider than the spacing of {spacing:g} mm"
    return text


def _are_parallel(places: Sequence[Place]) -> bool:
    first = places[0].orientation
    return all(
        abs(a - b) <= _ANGLE_TOLERANCE
        for place in places
        for a, b in zip(place.orientation, first, strict=True)
    )


def _gaps_mm(places: Sequence[Place]) -> list[float]:
    normal = places[0].normal
    heights = sorted(
        sum(a * b for a, b in zip(place.position, normal, strict=True)) for place in places
    )
    return [upper - lower for lower, upper in itertools.pairwise(heights)]


def _is_regular(gaps: Sequence[float]) -> bool:
    """Tell whether the gaps are equal, or equal in two long runs.

    Where two blocks meet, one step may be shorter than either: they overlap.
    """
    if min(gaps) <= _SPACING_TOLERANCE_MM:
        return False  # two slices in one place
    runs = _runs(gaps)
    if len(runs) == 1:
        return True
    first, *between, last = runs
    widest = max(first[0], last[0]) + _SPACING_TOLERANCE_MM
    is_long = min(first[1], last[1]) >= _MIN_RUN
    is_joint = len(between) <= 1 and all(gap <= widest and n == 1 for gap, n in between)
    return is_long and is_joint


def _runs(gaps: Iterable[float]) -> list[tuple[float, int]]:
    """Return each run of equal gaps: the gap, and how often it comes.

    Examples
    --------
    >>> _runs([4.0, 4.0, 1.0, 7.0])
    [(4.0, 2), (1.0, 1), (7.0, 1)]
    """
    runs: list[tuple[float, int]] = []
    for gap in gaps:
        if runs and abs(gap - runs[-1][0]) <= _SPACING_TOLERANCE_MM:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((gap, 1))
    return runs
