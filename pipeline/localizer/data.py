"""Labelled heads: read them, and split them into folds by patient."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk

from pipeline.arrays import FloatArray, HuArray, frozen
from pipeline.geometry import InPlaneView
from pipeline.volume import Volume

FOLDS: Final = 5
FOLD_SEED: Final = 281
SAME_PATIENT: Final = {"072": "069"}
"""CT-ICH heads that look like one patient."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledHead:
    """One head with both levels.

    Attributes
    ----------
    name, patient : str
    voxels : numpy.ndarray, shape (slice, row, column), float32
        Hounsfield units in the radiologist's view, from inferior to superior.
    distances_mm : numpy.ndarray, shape (slice,)
    spacing_mm : tuple of float
        Between rows, then between columns.
    levels_mm : tuple of float
        Distance of the ganglionic and of the supraganglionic level from the
        first slice.
    targets_mm : tuple of float
        What to learn: between slices where the readers disagreed.
    readings : tuple of (int, int)
        Both levels as slice index, of each single reader.
    flags : tuple of str
    """

    name: str
    patient: str
    voxels: HuArray
    distances_mm: FloatArray
    spacing_mm: tuple[float, float]
    levels_mm: tuple[float, float]
    targets_mm: tuple[float, float]
    readings: tuple[tuple[int, int], ...] = ()
    flags: tuple[str, ...] = ()

    def nearest(self) -> tuple[int, int]:
        """Return the slice nearest to each level."""
        low, high = (int(np.abs(self.distances_mm - level).argmin()) for level in self.levels_mm)
        return low, high


def as_volume(head: LabelledHead) -> Volume:
    """Return a head as the pipeline sees a series; it lies straight in patient space."""
    rows, columns = head.spacing_mm
    affines = np.zeros((len(head.voxels), 3, 3))
    affines[:, 0, 1], affines[:, 1, 0] = columns, rows
    affines[:, 2, 2] = head.distances_mm
    return Volume(
        voxels=head.voxels,
        pixel_affines=affines,
        pixel_spacing_mm=head.spacing_mm,
        distances_mm=head.distances_mm,
        slice_thickness_mm=np.gradient(head.distances_mm),
        view=InPlaneView(transpose=False, flip_rows=False, flip_columns=False),
    )


def _read_head(folder: Path, row: dict[str, str]) -> LabelledHead:
    image = sitk.DICOMOrient(sitk.ReadImage(str(folder / f"{row['pid']}.nii.gz")), "LPS")
    voxels = sitk.GetArrayFromImage(image).astype(np.float32)
    column_mm, row_mm, step_mm = image.GetSpacing()
    consensus = (int(row["bgl"]), int(row["sgl"]))
    readings = tuple(
        (int(row[f"reader_{reader}_bgl"]), int(row[f"reader_{reader}_sgl"]))
        for reader in "ab"
        if f"reader_{reader}_bgl" in row
    )
    low, high = np.mean([consensus] * max(1, len(readings)) + [*readings], axis=0) * step_mm
    return LabelledHead(
        name=row["pid"],
        patient=SAME_PATIENT.get(row["pid"], row["pid"]),
        voxels=frozen(voxels),
        distances_mm=frozen(np.arange(len(voxels)) * step_mm),
        spacing_mm=(row_mm, column_mm),
        levels_mm=(consensus[0] * step_mm, consensus[1] * step_mm),
        targets_mm=(float(low), float(high)),
        readings=readings,
        flags=tuple(filter(None, row.get("flags", "").split(";"))),
    )


def read_heads(folder: Path) -> tuple[LabelledHead, ...]:
    """Read a folder of NIfTI heads and its ``levels.csv``.

    Parameters
    ----------
    folder : Path
        Holds ``levels.csv`` (columns pid, bgl, sgl, and where there are any
        reader_a_bgl, reader_a_sgl, reader_b_bgl, reader_b_sgl, flags; 0-based
        slices, the lowest first) and ``<pid>.nii.gz`` in HU.

    Raises
    ------
    FileNotFoundError
        There is no ``levels.csv``.
    """
    with (folder / "levels.csv").open(newline="") as file:
        return tuple(_read_head(folder, row) for row in csv.DictReader(file))


def fold_of(patients: Sequence[str], count: int = FOLDS, seed: int = FOLD_SEED) -> dict[str, int]:
    """Deal patients to folds; the same patients always get the same folds.

    Examples
    --------
    >>> fold_of(["b", "a", "a", "c"], count=3) == fold_of(["c", "a", "b"], count=3)
    True
    """
    names = sorted(set(patients))
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[patient]: place % count for place, patient in enumerate(order.tolist())}
