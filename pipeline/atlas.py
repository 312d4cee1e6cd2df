"""The atlas as the pipeline sees it: a template slice, its labels, its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.arrays import HuArray, LabelArray, frozen
from pipeline.regions import Level


class AgeGroup(StrEnum):
    """The age groups of ASPECTS-281, in years."""

    AGE_10_29 = "10-29"
    AGE_30_49 = "30-49"
    AGE_50_69 = "50-69"
    AGE_70_89 = "70-89"

    @property
    def years(self) -> tuple[int, int]:
        """First and last year of age of the group."""
        first, last = self.value.split("-")
        return int(first), int(last)


class AgeFlag(StrEnum):
    """Why the age group is a makeshift."""

    OUT_OF_RANGE = "age-out-of-range"
    UNKNOWN = "age-unknown"
    SINGLE_GROUP = "atlas-has-one-age-group"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Atlas:
    """One template slice with its regions, in the radiologist's view.

    Attributes
    ----------
    template : numpy.ndarray, shape (row, column), float32
        Hounsfield units inside the brain, 0 outside. Rows run to posterior,
        columns to the patient's left.
    labels : numpy.ndarray, shape (row, column), uint8
        Region numbers, lateralised: 1-10 right, 11-20 left, 0 elsewhere.
    spacing_mm : tuple of float
        Between rows, then between columns.
    level, age_group
    name, version : str
        Of the atlas set, for example ``"aspects-281"`` and ``"52144cb"``.
    sha256 : str
        Hash over the template's and the labels' files.
    """

    template: HuArray
    labels: LabelArray
    spacing_mm: tuple[float, float]
    level: Level
    age_group: AgeGroup
    name: str
    version: str
    sha256: str

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        frozen(self.template)
        frozen(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeChoice:
    """The age group chosen for a patient, and why it may not fit."""

    group: AgeGroup
    years: float | None
    flag: AgeFlag | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtlasSet:
    """All atlases of one name: every age group it has, both levels.

    Attributes
    ----------
    name, version, licence, citation : str
    atlases : mapping of (AgeGroup, Level) to Atlas
    """

    name: str
    version: str
    licence: str
    citation: str
    atlases: Mapping[tuple[AgeGroup, Level], Atlas]

    @property
    def groups(self) -> tuple[AgeGroup, ...]:
        """Age groups for which both levels are there, youngest first."""
        return tuple(
            group for group in AgeGroup if all((group, level) in self.atlases for level in Level)
        )

    def for_age(self, years: float | None) -> AgeChoice:
        """Choose the age group of a patient.

        Parameters
        ----------
        years : float or None
            Age in years; ``None`` where it is not known.

        Returns
        -------
        AgeChoice
            The group the age falls in; the nearest, flagged, where none does;
            50-69 (or the nearest to it), flagged, for an unknown age.
        """
        target = 60.0 if years is None else float(np.floor(years))
        group = min(self.groups, key=lambda item: _years_outside(item, target))
        flag: AgeFlag | None = None
        if years is None:
            flag = AgeFlag.UNKNOWN
        elif _years_outside(group, target) > 0:
            flag = AgeFlag.SINGLE_GROUP if len(self.groups) == 1 else AgeFlag.OUT_OF_RANGE
        return AgeChoice(group=group, years=years, flag=flag)

    def get(self, group: AgeGroup, level: Level) -> Atlas:
        """Return the atlas of one age group and level."""
        return self.atlases[group, level]

    def by_nearness(self, group: AgeGroup, level: Level) -> tuple[Atlas, ...]:
        """Return the atlases of one level: that of the age group, then its neighbours."""
        order = list(AgeGroup)
        place = order.index(group)
        near = sorted(self.groups, key=lambda item: abs(order.index(item) - place))
        return tuple(self.get(item, level) for item in near if abs(order.index(item) - place) <= 1)


def _years_outside(group: AgeGroup, years: float) -> float:
    first, last = group.years
    return max(first - years, years - last, 0.0)
