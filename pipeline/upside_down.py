"""Try the template turned by half a circle: a wrong header turns front to back."""

from __future__ import annotations

from typing import Final

from pipeline.coarse_turn import likeness_by_turn
from pipeline.head_frame import Framed

_TURNS_DEGREES: Final = tuple(float(turn) for turn in range(-24, 25, 6))


def half_turn_gain(fixed: Framed, moving: Framed) -> float:
    """Measure how much better the template fits when it is turned by 180 degrees.

    Parameters
    ----------
    fixed : Framed
        The slice.
    moving : Framed
        The template.

    Returns
    -------
    float
        Difference of two correlations inside the brain, each the best of turns
        by up to 24 degrees: negative for a slice that lies as it should.
    """
    likeness = likeness_by_turn(fixed, moving)
    upright = max(map(likeness, _TURNS_DEGREES))
    return max(likeness(turn + 180.0) for turn in _TURNS_DEGREES) - upright
