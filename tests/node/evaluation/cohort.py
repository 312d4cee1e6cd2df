"""Small folders of labelled phantoms, drawn by readers whose error is known."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pipeline.arrays import HuArray, LabelArray
from pipeline.geometry import in_plane_view
from pipeline.phantom import Phantom, PhantomSpec
from pipeline.regions import Level
from pipeline.series import CtSeries
from tests.pipeline.heads import HEAD, datasets, phantom, save, series


def in_view(spec: PhantomSpec = HEAD) -> dict[Level, LabelArray]:
    """Return the true regions of both levels, in the radiologist's view."""
    truth = phantom(spec)
    view = in_plane_view(truth.grid.image_orientation)
    return {
        level: np.ascontiguousarray(view.apply(truth.labels[truth.stored_index(level)]))
        for level in Level
    }


def spacing_in_view(one: CtSeries) -> tuple[float, float]:
    return in_plane_view(one.image_orientation).spacing(one.pixel_spacing_mm)


def write_dicom(folder: Path, name: str, spec: PhantomSpec = HEAD) -> None:
    save(datasets(spec), folder / name)


def write_nifti(path: Path, voxels: HuArray | LabelArray, one: CtSeries) -> None:
    """Write slices that lie as those of a series do, lowest first, as stored."""
    image = sitk.GetImageFromArray(voxels)
    row_mm, column_mm = one.pixel_spacing_mm
    step_mm = float(np.mean(np.diff(one.distances_mm)))
    along_columns, along_rows = np.reshape(one.image_orientation, (2, 3))
    upwards = (one.positions_mm[-1] - one.positions_mm[0]) / (step_mm * (len(one) - 1))
    image.SetSpacing((column_mm, row_mm, step_mm))
    image.SetOrigin([float(value) for value in one.positions_mm[0]])
    image.SetDirection(np.stack([along_columns, along_rows, upwards], axis=1).ravel().tolist())
    sitk.WriteImage(image, str(path))


def lowest_first(spec: PhantomSpec, stored: Any) -> Any:
    grid = phantom(spec).grid
    return stored[np.argsort(grid.positions_mm @ grid.normal)]


def write_volume(folder: Path, name: str, spec: PhantomSpec = HEAD) -> None:
    """Write a head as NIfTI, in HU."""
    truth = phantom(spec)
    voxels = lowest_first(spec, np.rint(truth.voxels).astype(np.int16))
    write_nifti(folder / f"{name}.nii.gz", voxels, series(spec))


def write_plane(path: Path, labels: LabelArray, spacing_mm: tuple[float, float]) -> None:
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((spacing_mm[1], spacing_mm[0]))
    sitk.WriteImage(image, str(path))


def write_planes(
    folder: Path,
    name: str,
    reader: str,
    labels: Mapping[Level, LabelArray],
    spacing_mm: tuple[float, float],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suffix = f"_{reader}" if reader else ""
    for level, drawn in labels.items():
        write_plane(folder / f"{name}_{level}{suffix}.nii.gz", drawn, spacing_mm)


def shifted(labels: Mapping[Level, LabelArray], rows: int, columns: int) -> dict[Level, LabelArray]:
    return {level: np.roll(drawn, (rows, columns), (0, 1)) for level, drawn in labels.items()}


def write_table(folder: Path, rows: Sequence[Mapping[str, object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / "levels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def true_row(name: str, truth: Phantom, **values: object) -> dict[str, object]:
    return {
        "pid": name,
        "bgl": truth.levels[Level.GANGLIONIC],
        "sgl": truth.levels[Level.SUPRAGANGLIONIC],
        **values,
    }
