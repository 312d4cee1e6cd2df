"""Bend one picture to another with greedy: fast, and the same for any machine."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import SimpleITK as sitk
from picsl_greedy import Greedy2D

from pipeline.arrays import FloatArray, HuArray
from pipeline.registration_grid import as_grid_image

_SEED: Final = 7
# less stiff, and noise is drawn into false gyri from round to round
_PARAMETERS: Final = "-m NCC 8x8 -s 5.0vox 3.0vox -n 100x100x50x10"

DESCRIPTION: Final = {
    "name": "greedy",
    "version": "1.4.0.3",
    "parameters": f"{_PARAMETERS} -seed {_SEED}",
}
"""For the manifest of what was built with it."""


def bend(fixed: HuArray, moving: HuArray, grid_mm: float) -> FloatArray:
    """Return the displacement (down, across) in mm from fixed to moving points.

    Parameters
    ----------
    fixed, moving : numpy.ndarray, shape (row, column), float32
        On one grid.
    grid_mm : float

    Returns
    -------
    numpy.ndarray, shape (2, row, column), float64

    References
    ----------
    Yushkevich et al., Alzheimer's & Dementia 12 (2016): the greedy algorithm.
    """
    greedy = Greedy2D()
    greedy.execute(
        f"-d 2 -i fixed moving -o warp -threads 1 -wp 0 -V 0 -seed {_SEED} {_PARAMETERS}",
        out=io.StringIO(),
        fixed=as_grid_image(fixed, grid_mm),
        moving=as_grid_image(moving, grid_mm),
        warp=None,
    )
    field = np.asarray(sitk.GetArrayFromImage(greedy["warp"]), dtype=float)
    return np.stack((field[..., 1], field[..., 0]))
