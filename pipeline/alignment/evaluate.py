"""Turn heads by known amounts and see what each method says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from pipeline.alignment.net import move
from pipeline.alignment.train import with_lesion
from pipeline.arrays import FloatArray, HuArray
from pipeline.midline import asymmetry_at

TURNS: Final = tuple((float(turn), float(turn) / 5 - 1.0) for turn in (-30, -20, -10, 10, 20, 30))
"""Degrees and mm by which every head is moved."""
_LESION_SEED: Final = 11

Finder = Callable[[HuArray], tuple[float, float]]
"""From a slab to turn in degrees and shift in mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How well a method follows known turns; means over heads and turns.

    Attributes
    ----------
    degrees, degrees_p95 : float
        Error of the turn.
    mm, mm_p95 : float
        Distance of the midline at the middle of the brain.
    asymmetry_hu : float
        What is left of the loss.
    cases : int
    """

    degrees: float
    degrees_p95: float
    mm: float
    mm_p95: float
    asymmetry_hu: float
    cases: int


def follow(find: Finder, slabs: Sequence[HuArray], *, lesions: bool = False) -> Accuracy:
    """Move heads and compare what is found with what was found before.

    Parameters
    ----------
    find : callable
    slabs : sequence of numpy.ndarray, shape (8, 75, 75), float32
    lesions : bool
        A large one-sided lesion is put into each head that is moved.

    Notes
    -----
    A head has no known midline: the one that the method finds in the head as
    it was scanned stands for it, so that its own bias does not show.
    """
    rng = np.random.default_rng(_LESION_SEED)
    degrees, distances, left = [], [], []
    for slab in slabs:
        before = find(slab)
        for turn in TURNS:
            start = torch.from_numpy(slab)[None]
            shown = with_lesion(start, rng) if lesions else start
            moved = move(shown, torch.tensor([turn]))[0].numpy()
            found = find(moved)
            degrees.append(abs(found[0] + turn[0] - before[0]))
            distances.append(abs(_off_mm(found, turn, before)))
            left.append(asymmetry_at(moved, *found))
    return Accuracy(
        degrees=float(np.mean(degrees)),
        degrees_p95=float(np.percentile(degrees, 95)),
        mm=float(np.mean(distances)),
        mm_p95=float(np.percentile(distances, 95)),
        asymmetry_hu=float(np.mean(left)),
        cases=len(degrees),
    )


def _off_mm(
    found: tuple[float, float], turn: tuple[float, float], before: tuple[float, float]
) -> float:
    """Carry the middle of the midline that was found back, and measure to the one before."""
    matrix, offset = _plane(turn)
    place = matrix @ (found[1] * _across(found[0])) + offset
    return float(_across(before[0]) @ place - before[1])


def _plane(turn: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    angle = np.radians(turn[0])
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return matrix, turn[1] * matrix[:, 1]


def _across(degrees: float) -> FloatArray:
    return np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
