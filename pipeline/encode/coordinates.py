"""Where a number was measured, as coordinates on its slice.

The SEG says it exactly, but few viewers follow a report into a SEG, and some end
with an error at a measurement without coordinates of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom.sr import CoordinatesForMeasurement, GraphicTypeValues, SourceImageForRegion
from pydicom import Dataset

from pipeline.arrays import FloatArray, MaskArray
from pipeline.encode.outline import outlines


def region_coordinates(mask: MaskArray, header: Dataset) -> list[Any]:
    """Return the outline of a region, its longest line first.

    Parameters
    ----------
    mask : numpy.ndarray, shape (row, column), bool
    header : pydicom.Dataset
        Of the slice.

    Returns
    -------
    list of highdicom.sr.CoordinatesForMeasurement

    References
    ----------
    DICOM PS3.3, C.18.6 "Spatial Coordinates Macro"; PS3.16, TID 320 "Image or
    Spatial Coordinates".
    """
    lines = sorted(outlines(mask), key=len, reverse=True)
    return [_polyline(line, header) for line in lines]


def slice_coordinates(header: Dataset) -> list[Any]:
    """Return the border of a whole slice.

    Parameters
    ----------
    header : pydicom.Dataset
        Of the slice.

    Returns
    -------
    list of highdicom.sr.CoordinatesForMeasurement
    """
    right, bottom = float(header.Columns), float(header.Rows)
    corners = [(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom), (0.0, 0.0)]
    return [_polyline(np.array(corners), header)]


def _polyline(points: FloatArray, header: Dataset) -> CoordinatesForMeasurement:
    return CoordinatesForMeasurement(
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=points,
        source_image=SourceImageForRegion.from_source_image(header),
    )
