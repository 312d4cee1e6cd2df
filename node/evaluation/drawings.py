"""Read the regions that one reader drew on one head, whatever the files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from atlases.nifti import read_in_view
from node.evaluation.cases import Drawing, Slices
from node.evaluation.errors import CaseError
from node.evaluation.nifti import read_upright
from node.evaluation.segmentation import read_segmentation
from pipeline.arrays import LabelArray
from pipeline.evaluation.reading import Reading
from pipeline.evaluation.sides import with_sides
from pipeline.geometry import in_plane_view
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level, at_level
from pipeline.series import CtSeries

_SPACING_TOLERANCE: Final = 0.02

Sheets = Mapping[int, LabelArray]
"""Labels by slice, in the radiologist's view."""


def read_drawing(drawing: Drawing, series: CtSeries, reader: str, slices: Slices) -> Reading:
    """Read the regions of one reader.

    Parameters
    ----------
    drawing : Drawing
    series : CtSeries
        The images they were drawn on.
    reader : str
    slices : mapping of Level to int
        Where the table says that they were drawn; may be empty for files that
        say it themselves.

    Returns
    -------
    Reading
        One slice for each level. Where a file has regions on several, the one
        that the table names, else the one with most of them.

    Raises
    ------
    CaseError
        A file cannot be read, does not lie on the images, or holds numbers
        that are no regions.
    """
    if drawing.segmentation is not None:
        found = _segmentation(drawing.segmentation, series)
        return _reading(reader, _choose(found, slices), has_sides=True)
    if drawing.volume is not None:
        return _reading(reader, _choose(_volume(drawing.volume, series), slices))
    return _reading(reader, _pictures(drawing, series, slices))


def _reading(
    reader: str, chosen: Mapping[Level, tuple[int, LabelArray]], *, has_sides: bool = False
) -> Reading:
    labels = {level: sheet for level, (_, sheet) in chosen.items()}
    if not has_sides and max((int(sheet.max()) for sheet in labels.values()), default=0) <= 10:
        try:
            labels = {level: with_sides(sheet) for level, sheet in labels.items()}
        except ValueError as error:
            raise CaseError(f"regions of {reader}: {error}") from error
    return Reading(
        reader=reader, labels=labels, slices={level: index for level, (index, _) in chosen.items()}
    )


def _choose(sheets: Sheets, slices: Slices) -> dict[Level, tuple[int, LabelArray]]:
    """Take one slice for each level, and the regions of that level on it."""
    chosen: dict[Level, tuple[int, LabelArray]] = {}
    for level in Level:
        own = {index: _only(sheet, level) for index, sheet in sheets.items()}
        areas = {index: int((sheet > 0).sum()) for index, sheet in own.items()}
        index = slices.get(level, -1)
        if not areas.get(index):
            index = max(areas, key=lambda item: areas[item], default=-1)
        if areas.get(index):
            chosen[level] = (index, own[index])
    return chosen


def _only(sheet: LabelArray, level: Level) -> LabelArray:
    numbers = [item.number for item in at_level(level)]
    return np.where(np.isin(sheet, numbers), sheet, 0).astype(np.uint8)


def _segmentation(path: Path, series: CtSeries) -> Sheets:
    view = in_plane_view(series.image_orientation)
    return {
        index: np.ascontiguousarray(view.apply(sheet))
        for index, sheet in read_segmentation(path, series).items()
    }


def _volume(path: Path, series: CtSeries) -> Sheets:
    image = read_upright(path)
    labels = _checked(sitk.GetArrayFromImage(image), path)
    column_mm, row_mm, _ = image.GetSpacing()
    if len(labels) != len(series):
        raise CaseError(f"{path.name} has {len(labels)} slices, the images {len(series)}")
    _require_plane(path, labels.shape[1:], (row_mm, column_mm), series)
    return {index: sheet for index, sheet in enumerate(labels) if sheet.any()}


def _pictures(
    drawing: Drawing, series: CtSeries, slices: Slices
) -> dict[Level, tuple[int, LabelArray]]:
    found = {}
    for level, path in drawing.pictures.items():
        if level not in slices:
            raise CaseError(f"{path.name}: levels.csv does not say on which slice it was drawn")
        try:
            pixels, spacing_mm = read_in_view(path)
        except (RuntimeError, ValueError) as error:
            raise CaseError(f"{path.name} cannot be read as a 2-D NIfTI") from error
        labels = _checked(pixels, path)
        _require_plane(path, labels.shape, spacing_mm, series)
        found[level] = (slices[level], _only(labels, level))
    return found


def _checked(values: npt.NDArray[Any], path: Path) -> LabelArray:
    """Refuse what is no label map of the twenty regions."""
    labels = np.rint(values)
    if not np.array_equal(labels, values) or labels.min() < 0 or labels.max() > len(REGION_SIDES):
        raise CaseError(
            f"{path.name} holds numbers that are no region: 1-10 in the order of the report, "
            f"{LEFT_OFFSET + 1}-{len(REGION_SIDES)} on the left"
        )
    return np.ascontiguousarray(labels, dtype=np.uint8)


def _require_plane(
    path: Path, shape: tuple[int, ...], spacing_mm: tuple[float, float], series: CtSeries
) -> None:
    view = in_plane_view(series.image_orientation)
    expected = (series.columns, series.rows) if view.transpose else (series.rows, series.columns)
    expected_mm = view.spacing(series.pixel_spacing_mm)
    if tuple(shape) != expected or not np.allclose(
        spacing_mm, expected_mm, rtol=_SPACING_TOLERANCE
    ):
        raise CaseError(
            f"{path.name} has {shape[0]} x {shape[1]} pixels of {spacing_mm[0]:.3f} x "
            f"{spacing_mm[1]:.3f} mm, the images {expected[0]} x {expected[1]} of "
            f"{expected_mm[0]:.3f} x {expected_mm[1]:.3f}: it must lie on their pixels"
        )
