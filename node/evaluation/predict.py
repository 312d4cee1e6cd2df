"""Have the pipeline read a head, or take what it wrote before."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from node.evaluation.cases import TABLE, THE_READER, Drawing, Slices, find_drawings, read_slices
from node.evaluation.drawings import read_drawing
from node.evaluation.errors import CaseError
from node.evaluation.heads import Head
from pipeline.arrays import HuArray, frozen
from pipeline.evaluation.reading import Reading
from pipeline.provenance import Provenance, uid_factory
from pipeline.regions import Level
from pipeline.run import Parameters, Tools, run
from pipeline.volume import slab

GIVEN: Final = "atlas, levels given"
"""Name of the method on the true slices: registration and atlas alone."""
FOUND: Final = "atlas, levels found"
"""Name of the method on the slices that it finds: what a user gets."""
TAKEN: Final = "predictions"
"""Name of the method where its results are read from files."""

NO_PREDICTION: Final = "no-prediction"
"""Code of a case that the folder of predictions does not hold."""

_SEG_OF_PROCESS: Final = "seg.dcm"
_RESULT: Final = "result.json"
_NO_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)  # goes into DICOM objects, of which none is made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mapped:
    """What the pipeline made of a head.

    Attributes
    ----------
    reading : Reading
    verdict : str
        Of the pipeline's own check: ``"pass"``, ``"warn"`` or ``"fail"``.
    reasons : tuple of str
        Codes.
    provenance : Provenance
    hu : dict of Level to numpy.ndarray, shape (row, column), float32
        The slices, in the radiologist's view.
    """

    reading: Reading
    verdict: str
    reasons: tuple[str, ...]
    provenance: Provenance
    hu: dict[Level, HuArray]


def map_head(head: Head, tools: Tools, name: str, parameters: Parameters) -> Mapped:
    """Run the pipeline on a head, without DICOM objects.

    Raises
    ------
    pipeline.errors.SeriesError
        The series cannot be mapped.
    """
    result = run(
        head.series,
        tools,
        parameters,
        new_uid=uid_factory(),
        now=_NO_TIME,
        clock=time.perf_counter,
    )
    view = head.view
    maps = result.region_map.levels
    return Mapped(
        reading=Reading(
            reader=name,
            labels={
                level: np.ascontiguousarray(view.apply(item.labels)) for level, item in maps.items()
            },
            slices={level: item.slice_index for level, item in maps.items()},
        ),
        verdict=str(result.quality.verdict),
        reasons=tuple(item.code for item in result.quality.reasons),
        provenance=result.provenance,
        hu={
            level: frozen(np.array(view.apply(slab(result.volume, item.slice_index))))
            for level, item in maps.items()
        },
    )


class Predictions:
    """Results of the method in a folder: SEG or label maps, and their slices.

    Parameters
    ----------
    folder : Path
        Holds for each case ``PID/seg.dcm``, as ``aspects-node process`` writes
        it, or files named as drawings are; for 2-D files a ``levels.csv`` too.

    Raises
    ------
    CaseError
        ``levels.csv`` is there but malformed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        has_table = (folder / TABLE).is_file()
        self._slices: dict[str, Slices] = read_slices(folder / TABLE) if has_table else {}

    def read(self, head: Head) -> Reading | str:
        """Return the result of one case; the code of its rejection where it has none.

        Raises
        ------
        CaseError
            It does not fit the images.
        """
        name = head.case.name
        folder = self._folder / name
        slices = self._slices.get(name, {})
        if (folder / _SEG_OF_PROCESS).is_file():
            drawing = Drawing(segmentation=folder / _SEG_OF_PROCESS)
            slices = _told_slices(folder / _RESULT) or slices
        else:
            drawings = find_drawings(self._folder, name)
            if THE_READER not in drawings:
                return str(_result(folder / _RESULT).get("code", NO_PREDICTION))
            drawing = drawings[THE_READER]
        try:
            return read_drawing(drawing, head.series, TAKEN, slices)
        except CaseError as error:
            raise CaseError(f"case {name}: {error}") from error


def _result(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _told_slices(path: Path) -> dict[Level, int]:
    """Return the slices that ``result.json`` names; a SEG may cover more."""
    levels = _result(path).get("levels", {})
    try:
        return {level: int(levels[str(level)]["index"]) for level in Level}
    except (KeyError, TypeError, ValueError):
        return {}


def write_maps(folder: Path, head: Head, reading: Reading) -> None:
    """Write the regions as 2-D NIfTI, so that `Predictions` can take them again."""
    folder.mkdir(parents=True, exist_ok=True)
    row_mm, column_mm = head.spacing_mm
    for level, labels in reading.labels.items():
        image = sitk.GetImageFromArray(labels)
        image.SetSpacing((column_mm, row_mm))
        sitk.WriteImage(image, str(folder / f"{head.case.name}_{level}.nii.gz"))
