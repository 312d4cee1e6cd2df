"""A folder of labelled cases: its table, its pictures and its drawings.

::

    levels.csv                       one row for each case, see `read_cases`
    PID.nii.gz, or a folder PID      the head CT: NIfTI in HU, or DICOM images
    PID_regions_READER.nii.gz        drawings of a reader: in 3-D on the grid of
                                     the CT,
    PID_ganglionic_READER.nii.gz     or in 2-D, one file for each level,
    PID_supraganglionic_READER.nii.gz
    PID_seg_READER.dcm               or as DICOM SEG

``_READER`` is left out where there is one reader only.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.evaluation.errors import CaseError
from pipeline.regions import Level

TABLE: Final = "levels.csv"
THE_READER: Final = "reader"
"""Name of the reader whose files name none."""
COLUMNS: Final = {Level.GANGLIONIC: "bgl", Level.SUPRAGANGLIONIC: "sgl"}

Slices = Mapping[Level, int]
_KINDS: Final = ("regions", *map(str, Level), "seg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The files in which one reader drew one case.

    Attributes
    ----------
    volume : Path or None
        3-D, on the grid of the CT.
    pictures : mapping of Level to Path
        2-D.
    segmentation : Path or None
        DICOM SEG.
    """

    volume: Path | None = None
    pictures: Mapping[Level, Path] = field(default_factory=dict)
    segmentation: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One head with what is known about it.

    Attributes
    ----------
    name : str
    image : Path
        NIfTI file, or folder of DICOM images.
    levels : mapping of Level to int
        The true slices, 0-based, the lowest first; empty where not known.
    years : float or None
        Age; None to take it from the images.
    group : str
        For example ``"ischaemic"``; empty where the table has none.
    read_levels : mapping of str to mapping of Level to int
        The slices that each single reader chose.
    drawings : mapping of str to Drawing
        By reader, in alphabetical order.
    """

    name: str
    image: Path
    levels: Slices
    years: float | None
    group: str
    read_levels: Mapping[str, Slices]
    drawings: Mapping[str, Drawing]


def read_cases(folder: Path) -> tuple[Case, ...]:
    """Read the table and find the files of every case.

    Parameters
    ----------
    folder : Path
        Its ``levels.csv`` has the columns ``pid`` (name of the case, and of its
        files), ``bgl`` and ``sgl`` (true slices, 0-based, the lowest first),
        and where wanted ``age``, ``group``, and ``READER_bgl``, ``READER_sgl``
        for the slices of single readers. Any value but ``pid`` may be empty.

    Raises
    ------
    CaseError
        The table is missing or malformed, or a case has no picture.
    """
    rows = _rows(folder / TABLE)
    names = [row["pid"].strip() for row in rows]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise CaseError(f"{TABLE}: case {repeated[0]} has two rows")
    if not names:
        raise CaseError(f"{TABLE} holds no case")
    return tuple(_case(folder, name, row) for name, row in zip(names, rows, strict=True))


def read_slices(path: Path) -> dict[str, Slices]:
    """Read the slices of each case from a table as in `read_cases`.

    Raises
    ------
    CaseError
        The table is missing or malformed.
    """
    return {row["pid"].strip(): _levels(row, "") for row in _rows(path)}


def find_drawings(folder: Path, name: str) -> dict[str, Drawing]:
    """Find the drawings of a case, by reader."""
    parts: dict[str, dict[str, Path]] = {}
    pattern = re.compile(rf"{re.escape(name)}_({'|'.join(_KINDS)})(?:_(.+?))?\.(nii|nii\.gz|dcm)")
    for path in sorted(folder.glob(f"{_escaped(name)}_*")):
        if match := pattern.fullmatch(path.name):
            parts.setdefault(match[2] or THE_READER, {})[match[1]] = path
    return {
        reader: Drawing(
            volume=files.get("regions"),
            pictures={level: files[level] for level in Level if level in files},
            segmentation=files.get("seg"),
        )
        for reader, files in sorted(parts.items())
    }


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                {key: value or "" for key, value in row.items() if key}
                for row in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CaseError(
            f"{path.name} cannot be read in the folder. Write one row for each case: pid,bgl,sgl"
        ) from error
    if rows and "pid" not in rows[0]:
        raise CaseError(f"{path.name} has no column pid. Its first line must be: pid,bgl,sgl")
    return rows


def _case(folder: Path, name: str, row: Mapping[str, str]) -> Case:
    images = (folder / f"{name}.nii.gz", folder / f"{name}.nii", folder / name)
    image = next((path for path in images if path.exists()), None)
    if not name or image is None:
        raise CaseError(f"case {name!r}: there is neither {name}.nii.gz nor a folder {name}")
    try:
        years = float(row["age"]) if row.get("age", "").strip() else None
    except ValueError as error:
        raise CaseError(f"{TABLE}: case {name}: age is no number of years") from error
    readers = [key.removesuffix("_bgl") for key in row if key.endswith("_bgl") and row[key].strip()]
    return Case(
        name=name,
        image=image,
        levels=_levels(row, ""),
        years=years,
        group=row.get("group", "").strip(),
        read_levels={reader: _levels(row, f"{reader}_") for reader in readers},
        drawings=find_drawings(folder, name),
    )


def _levels(row: Mapping[str, str], prefix: str) -> dict[Level, int]:
    given = {level: row.get(prefix + column, "").strip() for level, column in COLUMNS.items()}
    if not any(given.values()):
        return {}
    try:
        return {level: int(value) for level, value in given.items()}
    except ValueError as error:
        raise CaseError(
            f"{TABLE}: case {row['pid']}: {prefix}bgl and {prefix}sgl must be two slice numbers, "
            "or both empty"
        ) from error
