"""Carry the regions from the two levels to the slices about them.

Readers look at all cuts. Each level's atlas is registered anew to slices about
4 mm apart, outwards from the level, as far as that goes well; slices between
two of these take the map between. What is measured stays on the two levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Final

import numpy as np

from pipeline.arrays import FloatArray, MaskArray, frozen
from pipeline.provenance import Algorithm
from pipeline.quality import NCC_WARN
from pipeline.registration import Registration

REACH_MM: Final = 10.0
"""As far as the regions are carried; to the other level only half of the way."""
_ANCHOR_MM: Final = 4.0

ALL_SLICES: Final = Algorithm(
    name="regions on neighbouring slices",
    version="1",
    family="image-processing",
    parameters=(f"reach_mm={REACH_MM:g}", f"ncc_min={NCC_WARN:g}"),
)
"""What the carrying reports about itself."""

Register = Callable[[int], Registration]
"""Registers the atlas of the level to a slice, given by its index."""
_Placed = tuple[int, Registration]


def reachable(
    distances_mm: FloatArray, has_brain: MaskArray, index: int, other_index: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the slices below and above a level, nearest first.

    Parameters
    ----------
    distances_mm : numpy.ndarray, shape (slice,)
    has_brain : numpy.ndarray, shape (slice,), bool
        A side ends before a slice without.
    index, other_index : int
        Of the level, and of the other one.

    Examples
    --------
    >>> reachable(np.arange(12) * 5.0, np.ones(12, dtype=bool), 4, 8)
    ((3, 2), (5,))
    """
    away = np.asarray(distances_mm - distances_mm[index])
    towards = 1 if other_index > index else -1
    half = abs(float(away[other_index])) / 2
    # a slice in the very middle would belong to both
    near = (np.abs(away) <= REACH_MM) & (away * towards < half)
    found = np.flatnonzero(near).tolist()
    below, above = [k for k in found if k < index], [k for k in found if k > index]
    return (
        tuple(takewhile(lambda k: has_brain[k], reversed(below))),
        tuple(takewhile(lambda k: has_brain[k], above)),
    )


def carry(
    at_level: Registration,
    distances_mm: FloatArray,
    index: int,
    sides: tuple[tuple[int, ...], tuple[int, ...]],
    register: Register,
) -> dict[int, Registration]:
    """Carry the map of a level to its neighbours.

    Parameters
    ----------
    at_level : Registration
        Of the level itself.
    distances_mm : numpy.ndarray, shape (slice,)
    index : int
        Of the level.
    sides : tuple of tuple of int
        What `reachable` returned.
    register : callable

    Returns
    -------
    dict of int to Registration
        By slice, from inferior to superior; without the level itself. A side
        ends before the first slice that fits so badly that it would be warned
        of on a level. A slice between two that were registered has the lesser
        of their correlations.
    """
    found: dict[int, Registration] = {}
    for side in sides:
        found |= dict(_outwards((index, at_level), distances_mm, side, register))
    return dict(sorted(found.items()))


def _outwards(
    last: _Placed, distances_mm: FloatArray, side: tuple[int, ...], register: Register
) -> Iterator[_Placed]:
    between: list[int] = []
    for place, index in enumerate(side):
        is_near = abs(distances_mm[index] - distances_mm[last[0]]) < _ANCHOR_MM
        if is_near and place + 1 < len(side):
            between.append(index)
            continue
        found = register(index)
        if not found.ncc >= NCC_WARN or found.folds:
            return
        anchor = (index, found)
        yield from ((one, _between(last, anchor, distances_mm, one)) for one in between)
        yield anchor
        last, between = anchor, []


def _between(one: _Placed, other: _Placed, distances_mm: FloatArray, index: int) -> Registration:
    first, second = distances_mm[one[0]], distances_mm[other[0]]
    share = float((distances_mm[index] - first) / (second - first))
    pixels = (1 - share) * one[1].atlas_pixels + share * other[1].atlas_pixels
    return replace(
        other[1], atlas_pixels=frozen(np.asarray(pixels)), ncc=min(one[1].ncc, other[1].ncc)
    )
