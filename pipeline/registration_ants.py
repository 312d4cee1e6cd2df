"""The paper's registration: ANTs SyN with an affine start, both by mutual information."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import ants
import numpy as np

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.atlas import Atlas
from pipeline.provenance import Algorithm

_SEED: Final = 7
_CLIP_HU: Final = (0.0, 120.0)
_FAR: Final = -1e4

ANTS: Final = Algorithm(
    name="ANTs SyN",
    version="0.6.3",
    family="deformable-model",
    parameters=("type_of_transform=SyN", "aff_metric=mattes", f"seed={_SEED}", "threads=1"),
)
"""The deformable step, as reported in every result made with it."""


def ants_map(
    slab: HuArray, brain: MaskArray, spacing_mm: tuple[float, float], atlas: Atlas
) -> FloatArray:
    """Map the pixels of a slice to an atlas as the paper's code calls ANTs.

    Parameters
    ----------
    slab : numpy.ndarray, shape (row, column), float32
        HU in the radiologist's view.
    brain : numpy.ndarray, shape (row, column), bool
    spacing_mm : tuple of float
        Between rows, then between columns.
    atlas : Atlas

    Returns
    -------
    numpy.ndarray, shape (2, row, column), float64
        For each pixel its (row, column) in the atlas.

    Notes
    -----
    ``random_seed`` is ignored by current antspyx: only its deterministic mode,
    one thread and a seed, gives the same answer twice.

    References
    ----------
    Sun et al., Sci Data 11, 1132 (2024); Avants et al., "Symmetric
    diffeomorphic image registration with cross-correlation", Medical Image
    Analysis 12 (2008).
    """
    ants.config.set_ants_deterministic(True, _SEED)
    fixed = _as_ants(np.where(brain, np.clip(slab, *_CLIP_HU), 0.0), spacing_mm)
    moving = _as_ants(atlas.template, atlas.spacing_mm)
    with TemporaryDirectory() as folder:
        found = ants.registration(
            fixed,
            moving,
            type_of_transform="SyN",
            aff_metric="mattes",
            outprefix=str(Path(folder) / "syn"),
        )
        rows, columns = np.meshgrid(*map(np.arange, atlas.template.shape), indexing="ij")
        planes = [
            ants.apply_transforms(
                fixed,
                _as_ants(plane, atlas.spacing_mm),
                found["fwdtransforms"],
                interpolator="linear",
                defaultvalue=_FAR,
            ).numpy()
            for plane in (rows, columns)
        ]
    return np.stack([np.asarray(plane, dtype=float).T for plane in planes])


def _as_ants(array: Any, spacing_mm: tuple[float, float]) -> Any:
    """Wrap a picture; ANTs counts columns first."""
    return ants.from_numpy(np.asarray(array, dtype=np.float32).T.copy(), spacing=spacing_mm[::-1])
