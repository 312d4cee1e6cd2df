"""Bend one picture to another with ANTs SyN, as the paper builds its templates."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import ants
import numpy as np
import SimpleITK as sitk

from pipeline.arrays import FloatArray, HuArray
from pipeline.greedy_field import down_across

_SEED: Final = 7
_SETTINGS: Final[dict[str, Any]] = {
    "type_of_transform": "SyNOnly",
    "syn_metric": "CC",
    "syn_sampling": 4,
    "reg_iterations": (100, 100, 70, 20),
    "grad_step": 0.2,
    "flow_sigma": 3,
    "total_sigma": 0,
}

DESCRIPTION: Final = {
    "name": "ANTs SyN",
    "version": "0.6.3",
    "parameters": " ".join(f"{key}={value}" for key, value in _SETTINGS.items())
    + f" seed={_SEED} threads=1",
}
"""For the manifest of what was built with it."""


def bend(fixed: HuArray, moving: HuArray, grid_mm: float) -> FloatArray:
    """Return the displacement (down, across) in mm; see ``registration_pairs.Bender``.

    Notes
    -----
    Metric, radius, step and iterations are those of
    antsMultivariateTemplateConstruction2.sh. Only ANTs' deterministic mode, one
    thread and a seed, gives the same answer twice.

    References
    ----------
    Avants et al., "Symmetric diffeomorphic image registration with
    cross-correlation", Medical Image Analysis 12 (2008).
    """
    ants.config.set_ants_deterministic(True, _SEED)
    with TemporaryDirectory() as folder:
        found = ants.registration(
            _as_ants(fixed, grid_mm),
            _as_ants(moving, grid_mm),
            initial_transform="Identity",
            outprefix=str(Path(folder) / "syn"),
            **_SETTINGS,
        )
        warp = next(name for name in found["fwdtransforms"] if name.endswith("Warp.nii.gz"))
        field = sitk.GetArrayFromImage(sitk.ReadImage(warp))
    return down_across(np.squeeze(field))


def _as_ants(array: HuArray, grid_mm: float) -> Any:
    """Wrap a picture; ANTs counts columns first."""
    return ants.from_numpy(np.asarray(array.T, order="C"), spacing=(grid_mm, grid_mm))
