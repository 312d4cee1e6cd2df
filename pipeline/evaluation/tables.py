"""Gather the scores of many cases into tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.atlas import AgeGroup
from pipeline.evaluation.overlap import RegionScore, State
from pipeline.evaluation.statistics import Distribution, PairedTest, describe, holm, paired_test
from pipeline.regions import Region, Side

METRICS: Final = ("dsc", "surface_dsc", "hd95_mm", "msd_mm", "area_ratio", "centroid_mm")
"""Numbers of a `RegionScore` that are summarised."""
ALL_REGIONS: Final = "all"
"""Name of the row that averages the regions of each case first."""

Values = dict[str, float]
"""One number by case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One region of one case: a reading against another.

    Attributes
    ----------
    case, reader, against : str
    score : RegionScore
    """

    case: str
    reader: str
    against: str
    score: RegionScore


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRow:
    """One region over all cases.

    Attributes
    ----------
    reader, against : str
    region : str
        A `Region`, or `ALL_REGIONS`.
    side : Side or None
        None for both sides together.
    missed : int
        Cases in which the reader lacks the region; their Dice coefficient is 0,
        their distances are left out.
    not_drawn : int
        Cases in which the reference lacks it; left out altogether.
    metrics : mapping of str to Distribution
        By the names in `METRICS`.
    """

    reader: str
    against: str
    region: str
    side: Side | None
    missed: int
    not_drawn: int
    metrics: Mapping[str, Distribution]


def region_rows(
    comparisons: Sequence[Comparison], reader: str, against: str, seed: int
) -> tuple[RegionRow, ...]:
    """Summarise a reader against a reference: each region and side, and all.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Those of other readers are passed over.
    reader, against : str
    seed : int
        Of the bootstrap.
    """
    own = [item for item in comparisons if (item.reader, item.against) == (reader, against)]
    rows = []
    for side in (None, *Side):
        here = [item for item in own if item.score.side is side]
        for region in Region:
            found = [item for item in here if item.score.region is region]
            if found:
                rows.append(_row(found, region, seed))
        if here:
            rows.append(_row(here, ALL_REGIONS, seed))
    return tuple(rows)


def _row(found: Sequence[Comparison], region: str, seed: int) -> RegionRow:
    states = [item.score.state for item in found]
    return RegionRow(
        reader=found[0].reader,
        against=found[0].against,
        region=region,
        side=found[0].score.side,
        missed=states.count(State.MISSED),
        not_drawn=states.count(State.NOT_DRAWN),
        metrics={
            metric: describe(list(_mean_by_case(found, metric).values()), seed)
            for metric in METRICS
        },
    )


def _mean_by_case(found: Iterable[Comparison], metric: str) -> Values:
    """Average the regions of each case, so that every case weighs the same."""
    values: dict[str, list[float]] = {}
    for item in found:
        values.setdefault(item.case, []).append(getattr(item.score, metric))
    return {case: _nanmean(numbers) for case, numbers in values.items()}


def _nanmean(numbers: Sequence[float]) -> float:
    known = [value for value in numbers if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def dice_by_case(
    comparisons: Sequence[Comparison], pairs: Iterable[tuple[str, str]], region: str
) -> Values:
    """Return the Dice coefficient of each case, both sides together, averaged over pairs.

    Parameters
    ----------
    comparisons : sequence of Comparison
    pairs : iterable of (str, str)
        Two readers, in any order. A case that lacks one of the pairs is left
        out, so that all cases average the same readers.
    region : str
        A `Region`, or `ALL_REGIONS`.
    """
    by_pair = [
        _mean_by_case(
            (
                item
                for item in comparisons
                if pair in ((item.reader, item.against), (item.against, item.reader))
                and item.score.side is None
                and region in (ALL_REGIONS, item.score.region)
            ),
            "dsc",
        )
        for pair in pairs
    ]
    if not by_pair:
        return {}
    common = sorted(set.intersection(*(set(values) for values in by_pair)))
    return {case: float(np.mean([values[case] for values in by_pair])) for case in common}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRow:
    """The Dice coefficients of one pair of readers, or of several averaged.

    Attributes
    ----------
    name : str
    pairs : tuple of (str, str)
    dsc : mapping of str to Distribution
        By region, both sides together, and `ALL_REGIONS`.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    dsc: Mapping[str, Distribution]


def agreement(
    comparisons: Sequence[Comparison], method: str | None, readers: Sequence[str], seed: int
) -> tuple[AgreementRow, ...]:
    """Compare each reader and the method with each other.

    Parameters
    ----------
    comparisons : sequence of Comparison
    method : str or None
        The reader that is the software.
    readers : sequence of str
        The people; every pair of them is there, in this order.
    seed : int

    References
    ----------
    Sun et al., Sci Data 11, 1132 (2024), Table 3.
    """
    by_method = tuple((method, reader) for reader in readers) if method else ()
    between = tuple(itertools.combinations(readers, 2))
    families: list[tuple[str, tuple[tuple[str, str], ...]]] = [
        (f"{one} – {other}", ((one, other),)) for one, other in (*by_method, *between)
    ]
    if len(readers) > 1 and method:
        families.append((f"{method} – mean of the readers", by_method))
        families.append(("reader – reader, mean", between))
    return tuple(
        AgreementRow(
            name=name,
            pairs=pairs,
            dsc={
                region: describe(list(dice_by_case(comparisons, pairs, region).values()), seed)
                for region in (*map(str, Region), ALL_REGIONS)
            },
        )
        for name, pairs in families
    )


def compare_dice(
    comparisons: Sequence[Comparison],
    first: Sequence[tuple[str, str]],
    second: Sequence[tuple[str, str]],
    seed: int,
) -> dict[str, PairedTest]:
    """Test first minus second for each region, with Holm's correction over the ten.

    Parameters
    ----------
    comparisons : sequence of Comparison
    first, second : sequence of (str, str)
        Pairs of reader and reference, averaged within a case.
    seed : int

    Returns
    -------
    dict of str to PairedTest
        By region; `ALL_REGIONS` is a test of its own, corrected for nothing.
    """
    tests = {
        region: _test(comparisons, first, second, region, seed)
        for region in (*map(str, Region), ALL_REGIONS)
    }
    overall = tests.pop(ALL_REGIONS)
    alone = replace(overall, holm_t=overall.p_t, holm_wilcoxon=overall.p_wilcoxon)
    return holm(tests) | {ALL_REGIONS: alone}


def _test(
    comparisons: Sequence[Comparison],
    first: Sequence[tuple[str, str]],
    second: Sequence[tuple[str, str]],
    region: str,
    seed: int,
) -> PairedTest:
    one = dice_by_case(comparisons, first, region)
    other = dice_by_case(comparisons, second, region)
    common = sorted(set(one) & set(other))
    return paired_test([one[case] for case in common], [other[case] for case in common], seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRow:
    """Cases of one age group, mapped with the atlas of another.

    Attributes
    ----------
    cases, atlas : AgeGroup
    dsc : mapping of str to Distribution
        By region, both sides together, and `ALL_REGIONS`.
    """

    cases: AgeGroup
    atlas: AgeGroup
    dsc: Mapping[str, Distribution]


def age_rows(
    by_atlas: Mapping[AgeGroup, Sequence[Comparison]], group_of: Mapping[str, AgeGroup], seed: int
) -> tuple[AgeRow, ...]:
    """Cross the age of the cases with the age of the atlas.

    Parameters
    ----------
    by_atlas : mapping of AgeGroup to sequence of Comparison
        The same cases, each mapped with the atlas of that group.
    group_of : mapping of str to AgeGroup
        Case to its group.
    seed : int

    References
    ----------
    Sun et al., Sci Data 11, 1132 (2024), Table 4.
    """
    rows = []
    for cases, atlas in itertools.product(AgeGroup, by_atlas):
        own = [item for item in by_atlas[atlas] if group_of.get(item.case) is cases]
        if own:
            pair = ((own[0].reader, own[0].against),)
            dsc = {
                region: describe(list(dice_by_case(own, pair, region).values()), seed)
                for region in (*map(str, Region), ALL_REGIONS)
            }
            rows.append(AgeRow(cases=cases, atlas=atlas, dsc=dsc))
    return tuple(rows)
