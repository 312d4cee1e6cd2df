"""Everything that was found in all cases, in tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from node.evaluation.measure import Measured, Settings, age_group_of
from pipeline.atlas import AgeGroup
from pipeline.evaluation.statistics import Distribution, PairedTest, describe, mean_interval
from pipeline.evaluation.tables import (
    ALL_REGIONS,
    AgeRow,
    AgreementRow,
    Comparison,
    RegionRow,
    age_rows,
    agreement,
    compare_dice,
    dice_by_case,
    region_rows,
)
from pipeline.localizer.evaluate import Summary as LevelSummary
from pipeline.localizer.evaluate import summarise
from pipeline.regions import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRow:
    """How often one reader has the true slice of one level.

    Attributes
    ----------
    reader : str
    level : Level
    summary : pipeline.localizer.evaluate.Summary
    is_rde_interval : tuple of float
        95 % bootstrap interval of the mean distance.
    """

    reader: str
    level: Level
    summary: LevelSummary
    is_rde_interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """One method in the cases of one group.

    Attributes
    ----------
    group, reader : str
    cases : int
    refused : int
    dsc : Distribution
        Mean over the regions of each case, against the reference.
    """

    group: str
    reader: str
    cases: int
    refused: int
    dsc: Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFamily:
    """Ten tests that answer one question.

    Attributes
    ----------
    first, second : str
        What is compared, in words; the difference is first minus second.
    tests : mapping of str to PairedTest
        By region, and `ALL_REGIONS`.
    """

    first: str
    second: str
    tests: Mapping[str, PairedTest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All tables.

    Attributes
    ----------
    reference : str or None
    methods : tuple of str
        The ways in which the software read the cases.
    primary : str or None
        The one that is compared with people: on the true slices where it can be.
    readers : tuple of str
        The people who drew regions.
    regions : tuple of RegionRow
    agreement : tuple of AgreementRow
    tests : tuple of TestFamily
    ages : tuple of AgeRow
    levels : tuple of LevelRow
    groups : tuple of GroupRow
    refused : mapping of str to mapping of str to int
        Method to code to number of cases.
    verdicts : mapping of str to mapping of str to int
        Method to the pipeline's own verdict to number of cases.
    """

    reference: str | None
    methods: tuple[str, ...]
    primary: str | None
    readers: tuple[str, ...]
    regions: tuple[RegionRow, ...]
    agreement: tuple[AgreementRow, ...]
    tests: tuple[TestFamily, ...]
    ages: tuple[AgeRow, ...]
    levels: tuple[LevelRow, ...]
    groups: tuple[GroupRow, ...]
    refused: Mapping[str, Mapping[str, int]]
    verdicts: Mapping[str, Mapping[str, int]]


def summarise_cases(measured: Sequence[Measured], settings: Settings, seed: int) -> Summary:
    """Make every table.

    Parameters
    ----------
    measured : sequence of Measured
    settings : Settings
    seed : int
        Of the bootstrap.
    """
    comparisons = [item for one in measured for item in one.comparisons]
    readers = tuple(sorted({name for one in measured for name in one.case.drawings}))
    primary = _primary(comparisons, settings)
    return Summary(
        reference=settings.reference,
        methods=settings.methods,
        primary=primary,
        readers=readers,
        regions=_regions(comparisons, settings, readers, seed),
        agreement=agreement(comparisons, primary, readers, seed),
        tests=_tests(comparisons, settings, readers, seed),
        ages=_ages(measured, seed),
        levels=_levels(measured, settings, seed),
        groups=_groups(measured, comparisons, settings, seed),
        refused=_counted(
            (method, code) for one in measured for method, code in one.refused.items()
        ),
        verdicts=_counted(
            (method, verdict) for one in measured for method, (verdict, _) in one.verdicts.items()
        ),
    )


def document(value: Any) -> Any:
    """Return a table as values that JSON can hold; NaN becomes ``None``."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: document(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [document(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return str(value) if isinstance(value, StrEnum) else value


def _primary(comparisons: Sequence[Comparison], settings: Settings) -> str | None:
    compared = {item.reader for item in comparisons}
    return next((method for method in settings.methods if method in compared), None)


def _regions(
    comparisons: Sequence[Comparison], settings: Settings, readers: Sequence[str], seed: int
) -> tuple[RegionRow, ...]:
    reference = settings.reference
    if reference is None:
        return ()
    return tuple(
        row
        for reader in (*settings.methods, *(one for one in readers if one != reference))
        for row in region_rows(comparisons, reader, reference, seed)
    )


def _tests(
    comparisons: Sequence[Comparison], settings: Settings, readers: Sequence[str], seed: int
) -> tuple[TestFamily, ...]:
    reference, method = settings.reference, _primary(comparisons, settings)
    if reference is None or method is None:
        return ()
    others = [one for one in readers if one != reference]
    families = []
    if others:
        against = [(one, reference) for one in others]
        families.append((method, "the other readers", [(method, reference)], against))
        everybody = [(method, one) for one in readers]
        between = [(one, other) for one in readers for other in readers if one < other]
        families.append(
            (f"{method}, with every reader", "the readers with each other", everybody, between)
        )
    if second := [one for one in settings.methods if one != method]:
        families.append((second[0], method, [(second[0], reference)], [(method, reference)]))
    return tuple(
        TestFamily(
            first=first, second=other, tests=compare_dice(comparisons, pairs, other_pairs, seed)
        )
        for first, other, pairs, other_pairs in families
    )


def _ages(measured: Sequence[Measured], seed: int) -> tuple[AgeRow, ...]:
    by_atlas: dict[AgeGroup, list[Comparison]] = {}
    for one in measured:
        for atlas, comparisons in one.by_atlas.items():
            by_atlas.setdefault(atlas, []).extend(comparisons)
    group_of = {
        one.case.name: group
        for one in measured
        if (group := age_group_of(one.case.years)) is not None
    }
    return age_rows(by_atlas, group_of, seed)


def _levels(measured: Sequence[Measured], settings: Settings, seed: int) -> tuple[LevelRow, ...]:
    readers = dict.fromkeys(settings.methods)
    readers |= dict.fromkeys(name for one in measured for name in one.levels)
    rows = []
    for reader in readers:
        findings = [one.levels[reader] for one in measured if reader in one.levels]
        for place, level in enumerate(Level) if findings else ():
            off_mm = [abs(item.error_mm[place]) for item in findings]
            rows.append(
                LevelRow(
                    reader=reader,
                    level=level,
                    summary=summarise(findings, place),
                    is_rde_interval=mean_interval(off_mm, seed),
                )
            )
    return tuple(rows)


def _groups(
    measured: Sequence[Measured],
    comparisons: Sequence[Comparison],
    settings: Settings,
    seed: int,
) -> tuple[GroupRow, ...]:
    names = sorted({one.case.group for one in measured if one.case.group})
    if settings.reference is None:
        return ()
    rows = []
    for method in settings.methods:
        dsc = dice_by_case(comparisons, [(method, settings.reference)], ALL_REGIONS)
        for group in names:
            cases = [one for one in measured if one.case.group == group]
            rows.append(
                GroupRow(
                    group=group,
                    reader=method,
                    cases=len(cases),
                    refused=sum(method in one.refused for one in cases),
                    dsc=describe(
                        [dsc[one.case.name] for one in cases if one.case.name in dsc], seed
                    ),
                )
            )
    return tuple(rows)


def _counted(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for name, value in pairs:
        counts.setdefault(name, {}).setdefault(value, 0)
        counts[name][value] += 1
    return counts
