"""Bend one picture to another with greedy: fast, and the same for any machine."""

from __future__ import annotations

from typing import Final

from pipeline.arrays import FloatArray, HuArray
from pipeline.greedy_field import greedy_field_mm
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
    """Return the displacement (down, across) in mm; see ``registration_pairs.Bender``."""
    return greedy_field_mm(
        as_grid_image(fixed, grid_mm),
        as_grid_image(moving, grid_mm),
        f"-seed {_SEED} {_PARAMETERS}",
    )
