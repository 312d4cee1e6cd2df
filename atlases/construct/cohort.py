"""A cohort: which heads there are, their two levels, their ages."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from atlases.errors import CohortError
from pipeline.age import patient_age_years
from pipeline.atlas import AgeGroup
from pipeline.regions import Level

TABLE: Final = "levels.csv"
"""The table of a cohort: one row for each subject."""
LEAVE_OUT: Final = (
    *("ich", "large_ich", "craniectomy", "midline_shift", "motion", "child", "infant"),
)
"""Flags of subjects that do not belong into an atlas of healthy adults."""

_COLUMNS: Final = {Level.GANGLIONIC: "bgl", Level.SUPRAGANGLIONIC: "sgl"}
_FINDINGS: Final = ("hemorrhage", "fracture")
_NOTHING: Final = frozenset({"", "0", "no"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One head of a cohort.

    Attributes
    ----------
    name : str
    image : Path
        A NIfTI file in HU, or a folder of DICOM images of one series.
    regions : Path or None
        NIfTI file with the regions on the image's grid, 1-10 or 1-20.
    levels : mapping of Level to int
        0-based slice, the lowest first.
    years : float or None
        Age; None where neither the table nor a DICOM header says it.
    """

    name: str
    image: Path
    regions: Path | None
    levels: Mapping[Level, int]
    years: float | None

    def sha256(self) -> str:
        """Hash the files and the levels."""
        folder = self.image.is_dir()
        files = sorted(self.image.rglob("*")) if folder else [self.image]
        digest = hashlib.sha256(repr(sorted(self.levels.items())).encode())
        for path in (*files, *filter(None, [self.regions])):
            if path.is_file():
                digest.update(path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The subjects to build from, and why others were left out.

    Attributes
    ----------
    subjects : tuple of Subject
        In the order of their names.
    left_out : mapping of str to str
        Subject to reason.
    """

    subjects: tuple[Subject, ...]
    left_out: Mapping[str, str]

    def groups(self, unknown: AgeGroup | None) -> dict[AgeGroup, tuple[Subject, ...]]:
        """Deal the subjects to the age groups, youngest first.

        Parameters
        ----------
        unknown : AgeGroup or None
            Where a subject without an age goes.

        Raises
        ------
        CohortError
            A subject's age is not known, or lies in no group.
        """
        dealt: dict[AgeGroup, list[Subject]] = {}
        for subject in self.subjects:
            dealt.setdefault(_group_of(subject, unknown), []).append(subject)
        return {group: tuple(dealt[group]) for group in AgeGroup if group in dealt}


def read_cohort(
    folder: Path, leave_out: Sequence[str] = LEAVE_OUT, *, everyone: bool = False
) -> Cohort:
    """Read the table of a cohort.

    Parameters
    ----------
    folder : Path
        Holds ``levels.csv`` and for each subject ``<pid>.nii.gz`` (HU) or a
        folder ``<pid>`` of DICOM images; where there are any, its regions as
        ``<pid>_regions.nii.gz``. Columns: pid, bgl, sgl (0-based slice, the
        lowest first); optional age, hemorrhage, fracture, flags (separated by
        semicolons).
    leave_out : sequence of str
        Flags that exclude a subject, as haemorrhage and fracture do.
    everyone : bool
        Leave nobody out.

    Raises
    ------
    CohortError
        The table is missing or malformed, or a subject has no image.
    """
    try:
        with (folder / TABLE).open(newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["pid"])
    except (OSError, KeyError) as error:
        raise CohortError(
            f"{folder / TABLE} cannot be read, or has no column pid. Write one row for each "
            "subject: pid,bgl,sgl"
        ) from error
    left_out = {
        row["pid"]: reason for row in rows if not everyone and (reason := _reason(row, leave_out))
    }
    subjects = tuple(_subject(folder, row) for row in rows if row["pid"] not in left_out)
    if not subjects:
        raise CohortError(f"{folder / TABLE} holds no subject to build from")
    return Cohort(subjects=subjects, left_out=left_out)


def _reason(row: Mapping[str, str], leave_out: Sequence[str]) -> str:
    findings = [name for name in _FINDINGS if row.get(name, "").strip().lower() not in _NOTHING]
    flags = [flag for flag in row.get("flags", "").split(";") if flag in leave_out]
    return ", ".join(dict.fromkeys([*findings, *flags]))


def _subject(folder: Path, row: Mapping[str, str]) -> Subject:
    name = row["pid"]
    image = next(
        (path for path in (folder / f"{name}.nii.gz", folder / name) if path.exists()), None
    )
    if image is None:
        raise CohortError(f"{folder} holds neither {name}.nii.gz nor a folder {name}")
    regions = folder / f"{name}_regions.nii.gz"
    try:
        levels = {level: int(row[column]) for level, column in _COLUMNS.items()}
        years = float(row["age"]) if row.get("age") else _years_of(image)
    except (KeyError, ValueError) as error:
        raise CohortError(
            f"{folder / TABLE}: subject {name}: bgl and sgl must be slice numbers, age years"
        ) from error
    return Subject(
        name=name,
        image=image,
        regions=regions if regions.is_file() else None,
        levels=levels,
        years=years,
    )


def _years_of(image: Path) -> float | None:
    """Return the age that DICOM images state."""
    for path in sorted(image.rglob("*")) if image.is_dir() else ():
        try:
            return patient_age_years(dcmread(path, stop_before_pixels=True))
        except (InvalidDicomError, OSError):
            continue
    return None


def _group_of(subject: Subject, unknown: AgeGroup | None) -> AgeGroup:
    if subject.years is None:
        if unknown is None:
            raise CohortError(
                f"the age of subject {subject.name} is not known: fill the column age, or say "
                "where such subjects go with --age-group"
            )
        return unknown
    for group in AgeGroup:
        first, last = group.years
        if first <= subject.years < last + 1:
            return group
    raise CohortError(
        f"subject {subject.name}, {subject.years:g} years, is in no age group: take it out"
    )
