"""One run of greedy, and its displacements in our order."""

from __future__ import annotations

import io

import numpy as np
import SimpleITK as sitk
from picsl_greedy import Greedy2D

from pipeline.arrays import FloatArray


def greedy_field_mm(fixed: sitk.Image, moving: sitk.Image, parameters: str) -> FloatArray:
    """Bend a picture to another.

    Parameters
    ----------
    fixed, moving : SimpleITK.Image
        2-D, on one grid.
    parameters : str
        Options of greedy: metric, smoothing, iterations, seed.

    Returns
    -------
    numpy.ndarray, shape (2, row, column), float64
        Displacement (down, across) in mm from fixed to moving points.

    References
    ----------
    Yushkevich et al., "Fast Automatic Segmentation of Hippocampal Subfields
    and Medial Temporal Lobe Subregions in 3 Tesla and 7 Tesla T2-Weighted
    MRI", Alzheimer's & Dementia 12 (2016): the greedy algorithm.
    """
    greedy = Greedy2D()
    greedy.execute(
        f"-d 2 -i fixed moving -o warp -threads 1 -wp 0 -V 0 {parameters}",
        out=io.StringIO(),
        fixed=fixed,
        moving=moving,
        warp=None,
    )
    return down_across(sitk.GetArrayFromImage(greedy["warp"]))


def down_across(field: FloatArray) -> FloatArray:
    """Put ITK's displacements, (row, column, 2) with x first, into array order.

    Returns
    -------
    numpy.ndarray, shape (2, row, column), float64
        Down, then across.
    """
    plain = np.asarray(field, dtype=float)
    return np.stack((plain[..., 1], plain[..., 0]))
