"""Means with bootstrap intervals, and paired tests with Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pipeline.arrays import FloatArray

RESAMPLES: Final = 2000
_FEWEST: Final = 2
_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One number over the cases; NaN where there is nothing to take it from.

    Attributes
    ----------
    n : int
        Cases that have a value.
    mean, sd, median, least, greatest : float
    interval : tuple of float
        95 % bootstrap interval of the mean, by percentiles, cases drawn with
        replacement.
    """

    n: int
    mean: float
    sd: float
    median: float
    least: float
    greatest: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Two readings of the same cases, compared.

    Attributes
    ----------
    n : int
        Cases that have both.
    difference : float
        Mean of first minus second.
    interval : tuple of float
        95 % bootstrap interval of the difference.
    p_t, p_wilcoxon : float
        Two-sided; NaN where the test is not defined.
    holm_t, holm_wilcoxon : float
        The same, corrected for the number of tests.
    """

    n: int
    difference: float
    interval: tuple[float, float]
    p_t: float
    p_wilcoxon: float
    holm_t: float = float("nan")
    holm_wilcoxon: float = float("nan")


def describe(values: Sequence[float], seed: int) -> Distribution:
    """Summarise one number over the cases; NaN are left out.

    Examples
    --------
    >>> found = describe([0.8, 0.9, float("nan")], seed=1)
    >>> found.n, round(found.mean, 2), round(found.sd, 3)
    (2, 0.85, 0.071)
    """
    known = _known(values)
    if not known.size:
        nan = float("nan")
        return Distribution(
            n=0, mean=nan, sd=nan, median=nan, least=nan, greatest=nan, interval=(nan, nan)
        )
    return Distribution(
        n=int(known.size),
        mean=float(known.mean()),
        sd=float(known.std(ddof=1)) if known.size >= _FEWEST else float("nan"),
        median=float(np.median(known)),
        least=float(known.min()),
        greatest=float(known.max()),
        interval=mean_interval(known, seed),
    )


def mean_interval(values: Sequence[float] | FloatArray, seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean; NaN for fewer than two values.

    The same values and seed always give the same interval.

    Examples
    --------
    >>> mean_interval([3.0, 3.0, 3.0], seed=1)
    (3.0, 3.0)
    """
    known = _known(values)
    if known.size < _FEWEST:
        return float("nan"), float("nan")
    if np.ptp(known) < _SAME:
        return float(known[0]), float(known[0])
    found = stats.bootstrap(
        (known,),
        np.mean,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_test(first: Sequence[float], second: Sequence[float], seed: int) -> PairedTest:
    """Compare two readings case by case; a case that lacks one is left out.

    Examples
    --------
    >>> found = paired_test([0.9, 0.8, 0.85, 0.9], [0.8, 0.72, 0.74, 0.8], seed=1)
    >>> found.n, round(found.difference, 4), found.p_wilcoxon
    (4, 0.0975, 0.125)
    """
    apart = _known(np.subtract(first, second))
    if apart.size < _FEWEST:
        nan = float("nan")
        mean = float(apart.mean()) if apart.size else nan
        return PairedTest(
            n=int(apart.size), difference=mean, interval=(nan, nan), p_t=nan, p_wilcoxon=nan
        )
    apart = np.where(np.abs(apart) < _SAME, 0.0, apart)
    return PairedTest(
        n=int(apart.size),
        difference=float(apart.mean()),
        interval=mean_interval(apart, seed),
        p_t=_p_t(apart),
        p_wilcoxon=float(stats.wilcoxon(apart).pvalue) if apart.any() else 1.0,
    )


def holm(tests: Mapping[str, PairedTest]) -> dict[str, PairedTest]:
    """Correct a family of tests for their number, by Holm's method.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure",
    Scand J Stat 6 (1979).
    """
    by_t = _corrected([item.p_t for item in tests.values()])
    by_wilcoxon = _corrected([item.p_wilcoxon for item in tests.values()])
    return {
        name: replace(item, holm_t=t, holm_wilcoxon=wilcoxon)
        for (name, item), t, wilcoxon in zip(tests.items(), by_t, by_wilcoxon, strict=True)
    }


def _corrected(p_values: Sequence[float]) -> list[float]:
    raw = np.array(p_values, dtype=np.float64)
    defined = np.isfinite(raw)
    corrected = np.full(raw.shape, np.nan)
    if defined.any():
        corrected[defined] = multipletests(raw[defined], method="holm")[1]
    return [float(value) for value in corrected]


def _p_t(apart: FloatArray) -> float:
    if not apart.any():
        return 1.0
    if np.ptp(apart) < _SAME:
        return float("nan")  # no spread, no t
    return float(stats.ttest_1samp(apart, 0.0).pvalue)


def _known(values: Sequence[float] | FloatArray) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64)
    known: FloatArray = numbers[np.isfinite(numbers)]
    return known
