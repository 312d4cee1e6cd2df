"""Register again from other starts where the first fit is poor; the best one counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.arrays import HuArray, MaskArray
from pipeline.atlas import Atlas
from pipeline.midline import Midline, align_midline, brain_axis
from pipeline.registration import Method, Registration, register

FIRST_START: Final = "midline"
DOUBTFUL_NCC: Final = 0.60
"""Under this correlation other midlines are tried."""
POOR_NCC: Final = 0.55
"""Under this one the other age groups as well: seconds count."""
_GAIN_NCC: Final = 0.05
_APART_DEGREES: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BestFit:
    """The registration that fits best, and how it was started.

    Attributes
    ----------
    registration : Registration
    atlas : Atlas
        What was registered: its labels belong to the registration.
    start : str
        ``"midline"``; where that fitted poorly ``"slice midline"``, ``"brain
        axis"`` or ``"age group 50-69"``.
    """

    registration: Registration
    atlas: Atlas
    start: str


def register_best(
    slab: HuArray,
    brain: MaskArray,
    spacing_mm: tuple[float, float],
    atlases: Sequence[Atlas],
    *,
    midline: Midline,
    method: Method = Method.GREEDY,
) -> BestFit:
    """Register an atlas to a slice; from other starts too where that fits poorly.

    Parameters
    ----------
    slab : numpy.ndarray, shape (row, column), float32
        HU in the radiologist's view.
    brain : numpy.ndarray, shape (row, column), bool
        Not empty.
    spacing_mm : tuple of float
        Between rows, then between columns.
    atlases : sequence of Atlas
        All of one level; that of the patient's age first, then the others.
    midline : Midline
        Of the slice.
    method : Method

    Returns
    -------
    BestFit
        Another start replaces the first only where its correlation is higher by
        0.05.
    """

    def fit(atlas: Atlas, start: Midline) -> Registration:
        return register(slab, brain, spacing_mm, atlas, midline=start, method=method)

    best = BestFit(registration=fit(atlases[0], midline), atlas=atlases[0], start=FIRST_START)
    if best.registration.ncc < DOUBTFUL_NCC:
        for name, other in _other_midlines(slab, brain, spacing_mm, midline):
            best = _better(best, name, atlases[0], fit(atlases[0], other))
    if best.registration.ncc < POOR_NCC:
        used = best.registration.midline
        for atlas in atlases[1:]:
            best = _better(best, f"age group {atlas.age_group}", atlas, fit(atlas, used))
    return best


def _better(best: BestFit, start: str, atlas: Atlas, found: Registration) -> BestFit:
    if found.ncc < best.registration.ncc + _GAIN_NCC:
        return best
    return BestFit(registration=found, atlas=atlas, start=start)


def _other_midlines(
    slab: HuArray, brain: MaskArray, spacing_mm: tuple[float, float], midline: Midline
) -> Iterator[tuple[str, Midline]]:
    """Yield the midlines of the slice alone that differ from the given one."""
    others = {
        "slice midline": align_midline(slab[None], brain[None], spacing_mm),
        "brain axis": brain_axis(brain, spacing_mm),
    }
    for name, other in others.items():
        if abs(other.angle_degrees - midline.angle_degrees) > _APART_DEGREES:
            yield name, other
