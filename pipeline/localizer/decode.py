"""From the network's outputs to a position of each level, and one joint choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.arrays import FloatArray

DISTANCE_MM: Final = 20.0
DISTANCE_SD_MM: Final = 5.0
"""Prior of the distance between the levels."""
VOTE_SD_MM: Final = 20.0
"""The votes only settle ties between slices; the logits know the slice better."""
VOTE_REACH_MM: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One level's slice in a joint choice.

    Attributes
    ----------
    index : int
    runner_up : int or None
        ``None`` in a series of one slice.
    margin : float
        Difference of the two probabilities, 0 to 1.
    """

    index: int
    runner_up: int | None
    margin: float


def vote(positions_mm: FloatArray, distances_mm: FloatArray) -> float:
    """Let every slice say where a level lies, near slices loudest.

    Parameters
    ----------
    positions_mm : numpy.ndarray, shape (n,)
        Of each slice.
    distances_mm : numpy.ndarray, shape (n,)
        What each slice says: signed distance to the level, positive above.

    Returns
    -------
    float
        Weighted median, mm; it may lie outside the scan.

    Examples
    --------
    >>> vote(np.array([0.0, 5, 10, 15]), np.array([12.0, 7, 2, -30]))
    12.0
    """
    says = positions_mm + distances_mm
    weights = np.exp(-np.abs(distances_mm) / VOTE_REACH_MM)
    order = np.argsort(says, kind="stable")
    reached = np.cumsum(weights[order]) >= weights.sum() / 2
    return float(says[order][np.argmax(reached)])


def normalised(log_evidence: FloatArray) -> FloatArray:
    """Return log probabilities over the last axis."""
    peak = log_evidence.max(axis=-1, keepdims=True)
    total = np.log(np.exp(log_evidence - peak).sum(axis=-1, keepdims=True))
    return np.asarray(log_evidence - peak - total)


def choose(
    positions_mm: FloatArray, log_evidence: FloatArray, roof: FloatArray | None = None
) -> tuple[Pick, Pick]:
    """Choose both levels together.

    Parameters
    ----------
    positions_mm : numpy.ndarray, shape (n,)
    log_evidence : numpy.ndarray, shape (2, n)
        Ganglionic, supraganglionic; any constant may be added to a row.
    roof : numpy.ndarray, shape (n,), optional
        More evidence of the supraganglionic level. The ganglionic one is chosen
        without it, or an error of the one would become an error of both.

    Returns
    -------
    ganglionic, supraganglionic : Pick
    """
    gap = positions_mm[None, :] - positions_mm[:, None]
    prior = -0.5 * ((gap - DISTANCE_MM) / DISTANCE_SD_MM) ** 2
    joint = log_evidence[0][:, None] + log_evidence[1][None, :] + prior
    best = np.unravel_index(int(joint.argmax()), joint.shape)
    probability = np.exp(normalised(joint.ravel())).reshape(joint.shape)
    low = _pick(int(best[0]), probability.sum(axis=1))
    if roof is None:
        return low, _pick(int(best[1]), probability.sum(axis=0))
    given = np.exp(normalised(joint[low.index] + roof))
    return low, _pick(int(given.argmax()), given)


def _pick(index: int, probability: FloatArray) -> Pick:
    others = probability.copy()
    others[index] = -1.0
    runner_up = int(others.argmax()) if len(probability) > 1 else None
    margin = probability[index] - (0.0 if runner_up is None else probability[runner_up])
    return Pick(index=index, runner_up=runner_up, margin=float(np.clip(margin, 0, 1)))
