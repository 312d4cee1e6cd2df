"""Draw the slices of a series for the pages: runs in a process of its own.

Decoding and drawing would hold up the receiver, and a broken image may crash a
decoder; so the node itself never does either.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from functools import lru_cache
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.config import IGNORE, settings
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from pipeline.arrays import FloatArray, LabelArray, MaskArray
from pipeline.encode.outline import outlines
from pipeline.encode.panel import Field, common_field, plain_panel
from pipeline.errors import SeriesError
from pipeline.series import CtSeries, load_series
from pipeline.volume import Volume, to_volume

SIZE: Final = (720, 630)
"""Rows and columns of a picture."""

_NICENESS: Final = 5


class Scan(NamedTuple):
    """Which images, and which of them the shown part is taken from.

    Attributes
    ----------
    folder : Path
    names : tuple of str
        File names in it.
    levels : tuple of int
        Slices that have to fit into the picture.
    """

    folder: Path
    names: tuple[str, ...]
    levels: tuple[int, ...]


def begin() -> None:
    """Prepare the process: polite, and gone when the node is gone."""
    os.nice(_NICENESS)
    settings.reading_validation_mode = IGNORE
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@lru_cache(maxsize=1)
def _load(scan: Scan) -> tuple[CtSeries, Volume, Field]:
    series = load_series(list(_read(scan)))
    volume = to_volume(series)
    inside = [index for index in scan.levels if index < len(series)]
    return series, volume, common_field(volume, inside or [len(series) // 2], SIZE)


def _read(scan: Scan) -> Iterator[Dataset]:
    for name in scan.names:
        with contextlib.suppress(InvalidDicomError):
            yield dcmread(scan.folder / name)


def draw(scan: Scan, index: int, window: tuple[float, float]) -> bytes | None:
    """Draw one slice in the radiologist's view.

    Parameters
    ----------
    scan : Scan
    index : int
        0-based, from inferior to superior.
    window : tuple of float
        Centre and width in HU.

    Returns
    -------
    bytes or None
        A PNG of ``SIZE``, grey; None where there is no such slice.
    """
    try:
        series, volume, field = _load(scan)
    except SeriesError:
        return None
    if not 0 <= index < len(series):
        return None
    grey = plain_panel(volume, index, field, window)[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(buffer, format="PNG", compress_level=2)
    return buffer.getvalue()


def trace(scan: Scan, segmentation: Path | None) -> dict[str, Any]:
    """Return how many slices there are and the outlines of the regions that were sent.

    Parameters
    ----------
    scan : Scan
    segmentation : Path or None
        A SEG of ours, BINARY or LABELMAP.

    Returns
    -------
    dict
        ``slices``, ``rows`` and ``columns`` of the pictures; ``mm_per_pixel``;
        ``outlines``: a list of ``index``, ``number``, ``path`` (SVG path data in
        the pictures' pixels), and ``x``, ``y``: where its name has
        most room. Empty where the series cannot be read.
    """
    try:
        series, volume, field = _load(scan)
    except SeriesError:
        return {}
    found = [] if segmentation is None else list(_outlines(series, volume, field, segmentation))
    return {
        "slices": len(series),
        "rows": SIZE[0],
        "columns": SIZE[1],
        "mm_per_pixel": round(field.mm_per_pixel, 5),
        "positions_mm": [round(float(row[2]), 2) for row in series.positions_mm],
        "outlines": found,
    }


def _outlines(
    series: CtSeries, volume: Volume, field: Field, segmentation: Path
) -> Iterator[dict[str, Any]]:
    places = {uid: index for index, uid in enumerate(series.sop_instance_uids)}
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    for uid, number, mask in _masks(dcmread(segmentation)):
        if uid not in places:
            continue
        view = volume.view.apply(mask)
        path = "".join(_path(_on_picture(line, spacing, field)) for line in outlines(view))
        x, y = _on_picture(_roomiest(view), spacing, field).round(1).tolist()
        yield {"index": places[uid], "number": number, "path": path, "x": x, "y": y}


def _roomiest(mask: MaskArray) -> FloatArray:
    """Return the middle of the pixel farthest from the border, as (column, row)."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), mask.shape)
    return np.array([column + 0.5, row + 0.5])


def _masks(seg: Dataset) -> Iterator[tuple[str, int, MaskArray]]:
    """Yield SOPInstanceUID of the slice, region number and mask of each region.

    References
    ----------
    DICOM PS3.3, C.8.20.2 "Segmentation Image Module".
    """
    frames: LabelArray = seg.pixel_array
    frames = frames.reshape(-1, *frames.shape[-2:])
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        uid = str(source.ReferencedSOPInstanceUID)
        if seg.SegmentationType == "LABELMAP":
            for number in np.unique(frame[frame > 0]).tolist():
                yield uid, int(number), frame == number
        elif frame.any():
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            yield uid, int(number), frame > 0


def _on_picture(line: FloatArray, spacing: tuple[float, float], field: Field) -> FloatArray:
    """Turn pixel edges (column, row) of the view into places on the picture (x, y)."""
    centre = np.asarray(field.centre_mm[::-1])
    # the first pixel's centre is 0 mm and its edge half a pixel before it
    mm = (line - 0.5) * np.asarray(spacing[::-1])
    placed: FloatArray = (mm - centre) / field.mm_per_pixel + np.asarray(SIZE[::-1]) / 2
    return placed


def _path(points: FloatArray) -> str:
    """Write a closed line as SVG path data.

    Examples
    --------
    >>> _path(np.array([[0.0, 0.0], [2.04, 0.0], [2.04, 1.0], [0.0, 0.0]]))
    'M0 0L2 0 2 1Z'
    """
    written = [f"{x:.1f}".removesuffix(".0") + " " + f"{y:.1f}".removesuffix(".0")
               for x, y in points[:-1].tolist()]  # fmt: skip
    return f"M{written[0]}L{' '.join(written[1:])}Z"
