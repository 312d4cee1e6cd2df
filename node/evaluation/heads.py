"""One case in memory: its images, their grid, and what the readers drew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import Dataset

from node.compute import read_datasets
from node.evaluation.cases import Case
from node.evaluation.drawings import read_drawing
from node.evaluation.errors import CaseError
from node.evaluation.nifti import nifti_datasets
from pipeline.age import patient_age_years
from pipeline.evaluation.reading import Reading
from pipeline.geometry import InPlaneView, in_plane_view
from pipeline.series import CtSeries, load_series


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """The images of a case and every reading of it.

    Attributes
    ----------
    case : Case
        With age and true levels as far as images and drawings tell them.
    series : CtSeries
    readings : mapping of str to Reading
        By reader; empty where nobody drew regions.
    """

    case: Case
    series: CtSeries
    readings: Mapping[str, Reading]

    @property
    def view(self) -> InPlaneView:
        """The turn into the radiologist's view."""
        return in_plane_view(self.series.image_orientation)

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Between rows, then between columns, in that view."""
        return self.view.spacing(self.series.pixel_spacing_mm)


def open_head(case: Case, reference: str | None) -> Head:
    """Read the images and drawings of a case.

    Parameters
    ----------
    case : Case
    reference : str or None
        Reader whose slices are the truth where the table gives none.

    Raises
    ------
    CaseError
        A drawing does not fit the images, or a slice is not there.
    pipeline.errors.SeriesError
        The images are no series that can be mapped.
    """
    series = load_series(_datasets(case.image))
    try:
        readings = {
            reader: read_drawing(
                drawing, series, reader, case.read_levels.get(reader) or case.levels
            )
            for reader, drawing in case.drawings.items()
        }
        _check_slices(case, readings, len(series))
    except CaseError as error:
        raise CaseError(f"case {case.name}: {error}") from error
    levels = case.levels
    if not levels and reference in readings:
        levels = readings[reference].slices
    years = patient_age_years(series.datasets[0]) if case.years is None else case.years
    return Head(case=replace(case, levels=levels, years=years), series=series, readings=readings)


def _check_slices(case: Case, readings: Mapping[str, Reading], count: int) -> None:
    named = (case.levels, *case.read_levels.values(), *(one.slices for one in readings.values()))
    for slices in named:
        for level, index in slices.items():
            if not 0 <= index < count:
                raise CaseError(
                    f"{level} slice {index} is not there: the images are 0 to {count - 1}, the "
                    "lowest first"
                )


def _datasets(image: Path) -> list[Dataset]:
    if image.is_dir():
        return read_datasets(path for path in sorted(image.rglob("*")) if path.is_file())
    return nifti_datasets(image)
