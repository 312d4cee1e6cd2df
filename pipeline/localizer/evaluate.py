"""How often the levels are found, and how far off the rest is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.arrays import FloatArray
from pipeline.brain import extract_brain
from pipeline.localizer.data import LabelledHead, as_volume
from pipeline.localizer.decode import choose
from pipeline.localizer.infer import Localizer
from pipeline.localizer.simulate import Scan, simulate
from pipeline.midline import Guess, align_head
from pipeline.ventricle_roof import paramedian_darkness, roof_evidence

LEVELS: Final = ("BGL", "SGL")
N_READERS: Final = 2
_Z: Final = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Both levels of one head, as labelled and as found.

    Attributes
    ----------
    name : str
    truth, found : tuple of int
        Slice index of both levels.
    error_mm : tuple of float
        From the labelled slice to the found one, positive above.
    margin : tuple of float
    """

    name: str
    truth: tuple[int, int]
    found: tuple[int, int]
    error_mm: tuple[float, float]
    margin: tuple[float, float] = (math.nan, math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """One head, read by the network alone and by what the node uses.

    Attributes
    ----------
    network : Finding
    together : Finding
        Network and ventricles' roof; the templates, which settle ties only, are
        left out.
    """

    network: Finding
    together: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One level over many heads.

    Attributes
    ----------
    heads : int
    exact, within_one : float
        Share of heads with the labelled slice, and with it or a neighbour.
    exact_interval, within_one_interval : tuple of float
        Wilson, 95 %.
    within_5_mm : float
        Share of heads at most 5 mm off, for steps other than 5 mm.
    is_rde_mm : float
        Mean distance between found and labelled slice.
    signed_mm : float
        Mean error, positive above.
    """

    heads: int
    exact: float
    exact_interval: tuple[float, float]
    within_one: float
    within_one_interval: tuple[float, float]
    within_5_mm: float
    is_rde_mm: float
    signed_mm: float


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share.

    Examples
    --------
    >>> [round(x, 3) for x in wilson(75, 91)]
    [0.733, 0.889]
    """
    share, spread = successes / trials, _Z**2 / trials
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return middle - half, middle + half


def assess(localizer: Localizer, head: LabelledHead, guess: Guess | None = None) -> Assessed:
    """Find the levels of one labelled head.

    Parameters
    ----------
    localizer : Localizer
        That has not learned from this patient.
    head : LabelledHead
    guess : callable, optional
        Where the search for the midline begins.
    """
    network = localizer.weigh(head.voxels, head.distances_mm, head.spacing_mm).log_evidence
    volume = as_volume(head)
    brain = extract_brain(volume)
    darkness = paramedian_darkness(volume, brain, align_head(volume, brain, guess))
    roof = roof_evidence(darkness, head.distances_mm)
    return Assessed(network=_found(head, network), together=_found(head, network, roof))


def _found(head: LabelledHead, log_evidence: FloatArray, roof: FloatArray | None = None) -> Finding:
    low, high = choose(head.distances_mm, log_evidence, roof)
    finding = compare(head, (low.index, high.index))
    return replace(finding, margin=(low.margin, high.margin))


def compare(head: LabelledHead, found: tuple[int, int]) -> Finding:
    """Compare two slices, from whatever source, with a head's labels."""
    truth = head.nearest()
    errors = [
        float(head.distances_mm[f] - head.distances_mm[t])
        for f, t in zip(found, truth, strict=True)
    ]
    return Finding(name=head.name, truth=truth, found=found, error_mm=(errors[0], errors[1]))


def summarise(findings: Sequence[Finding], level: int) -> Summary:
    """Summarise one level (0 ganglionic, 1 supraganglionic) over heads."""
    off = np.array([abs(item.found[level] - item.truth[level]) for item in findings])
    errors = np.array([item.error_mm[level] for item in findings])
    return Summary(
        heads=len(findings),
        exact=float((off == 0).mean()),
        exact_interval=wilson(int((off == 0).sum()), len(off)),
        within_one=float((off <= 1).mean()),
        within_one_interval=wilson(int((off <= 1).sum()), len(off)),
        within_5_mm=float((np.abs(errors) <= 5.01).mean()),
        is_rde_mm=float(np.abs(errors).mean()),
        signed_mm=float(errors.mean()),
    )


def rescan(head: LabelledHead, scan: Scan) -> LabelledHead:
    """Scan a head again; the same head and kind always give the same series."""
    seed = [ord(letter) for letter in head.name + scan]
    return simulate(head, scan, np.random.default_rng(seed))


def between_readers(heads: Sequence[LabelledHead]) -> dict[str, list[Finding]]:
    """Compare each reader with the consensus, and the second with the first."""
    read = [head for head in heads if len(head.readings) == N_READERS]
    if not read:
        return {}
    first_as_truth = [
        replace(head, levels_mm=(float(head.distances_mm[low]), float(head.distances_mm[high])))
        for head in read
        for low, high in head.readings[:1]
    ]
    return {
        "reader A": [compare(head, head.readings[0]) for head in read],
        "reader B": [compare(head, head.readings[1]) for head in read],
        "B against A": [compare(head, head.readings[1]) for head in first_as_truth],
    }
