"""Register two upright brain pictures on one grid: what building a template needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from importlib import import_module
from typing import Final, Protocol, cast

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray, bounding_box
from pipeline.head_frame import OUTSIDE_HU, Framed, framed
from pipeline.midline import Midline
from pipeline.registration_greedy import fit_affine, plain_affine
from pipeline.registration_grid import grid_index, grid_points


class Engine(StrEnum):
    """What bends one picture to another."""

    GREEDY = "greedy"
    ANTS = "ants"


class Bender(Protocol):
    """Bends one picture to another; one module for each engine."""

    DESCRIPTION: dict[str, str]
    """Name, version and parameters, for the manifest of what was built with it."""

    def bend(self, fixed: HuArray, moving: HuArray, grid_mm: float) -> FloatArray:
        """Return the displacement (down, across) in mm from fixed to moving points.

        Parameters
        ----------
        fixed, moving : numpy.ndarray, shape (row, column), float32
            On one grid.
        grid_mm : float

        Returns
        -------
        numpy.ndarray, shape (2, row, column), float64
        """
        ...


# imported when asked for: either library takes a second to load
_BENDERS: Final = {
    Engine.GREEDY: "pipeline.registration_pairs_greedy",
    Engine.ANTS: "pipeline.registration_pairs_ants",
}

SMOOTH_MM: Final = 1.2
"""Pictures are smoothed by this before they are registered, lest noise is aligned with noise."""
_CLIP_HU: Final = (-5.0, 60.0)
_MARGIN_MM: Final = 8.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Upright:
    """A brain on a square grid, its midline upright in the middle.

    Attributes
    ----------
    hu : numpy.ndarray, shape (row, column), float32
        Hounsfield units; what lies outside the brain is not looked at.
    brain : numpy.ndarray, shape (row, column), bool
    grid_mm : float
        Step of the grid. Millimetres count from its middle, down and across.
    """

    hu: HuArray
    brain: MaskArray
    grid_mm: float

    @cached_property
    def frame(self) -> Framed:
        """The same picture on the coarser grid on which affine maps are fitted."""
        rows, columns = self.hu.shape
        straight = Midline(
            angle_degrees=0.0, point=((rows - 1) / 2, (columns - 1) / 2), asymmetry=0.0
        )
        return framed(self.hu, self.brain, (self.grid_mm, self.grid_mm), straight)

    @cached_property
    def smooth(self) -> HuArray:
        """The picture as registered: less noise, and its background well under CSF."""
        shown = np.where(self.brain, np.clip(self.hu, *_CLIP_HU), OUTSIDE_HU)
        sigma = SMOOTH_MM / self.grid_mm
        return np.asarray(ndimage.gaussian_filter(shown.astype(np.float32), sigma))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairMap:
    """Where the points of one picture lie in another.

    Attributes
    ----------
    points_mm : numpy.ndarray, shape (2, row, column), float64
        For each pixel of the fixed picture its (down, across) in the moving one.
    bend_mm : numpy.ndarray, shape (2, row, column), float64
        What was bent before the affine map: ``points = affine(x + bend(x))``.
    """

    points_mm: FloatArray
    bend_mm: FloatArray


def register_pair(fixed: Upright, moving: Upright, engine: Engine) -> PairMap:
    """Map the points of one picture to another: affine, then diffeomorphic.

    Parameters
    ----------
    fixed, moving : Upright
        On the same grid.
    engine : Engine

    Returns
    -------
    PairMap

    Notes
    -----
    Both engines start from the same affine map, fitted by correlation, and
    maximise local cross-correlation.
    """
    affine = fit_affine(fixed.frame, moving.frame)
    moved = _moved(moving, affine)
    window = bounding_box(fixed.brain | (moved > OUTSIDE_HU + 1), round(_MARGIN_MM / fixed.grid_mm))
    bent = np.zeros((2, *fixed.hu.shape))
    bent[:, *window] = _bender(engine).bend(fixed.smooth[window], moved[window], fixed.grid_mm)
    matrix, offset = plain_affine(affine)
    points = grid_points(fixed.hu.shape, fixed.grid_mm) + bent
    return PairMap(
        points_mm=np.einsum("ij,jrc->irc", matrix, points) + offset[:, None, None],
        bend_mm=bent,
    )


def describe(engine: Engine) -> dict[str, str]:
    """Return name, version and parameters of an engine, for a manifest."""
    return _bender(engine).DESCRIPTION


def _bender(engine: Engine) -> Bender:
    return cast("Bender", import_module(_BENDERS[engine]))


def _moved(moving: Upright, affine: sitk.AffineTransform) -> HuArray:
    """Resample by the affine map; the rim takes tissue along, not background."""
    matrix, offset = plain_affine(affine)
    points = grid_points(moving.hu.shape, moving.grid_mm)
    found = np.einsum("ij,jrc->irc", matrix, points) + offset[:, None, None]
    index = grid_index(found, moving.hu.shape, moving.grid_mm)
    return np.asarray(
        ndimage.map_coordinates(moving.smooth, index, order=1, cval=OUTSIDE_HU), dtype=np.float32
    )
