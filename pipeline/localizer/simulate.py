"""Other scans of the same head: re-slicing with known levels, and other looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.arrays import FloatArray, frozen
from pipeline.localizer.data import LabelledHead

Point = tuple[float, float, float]
"""Along slices, rows and columns, in mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlane:
    """How the picture is cut out of the slice.

    Attributes
    ----------
    zoom, aspect : float
        Magnification, and its ratio between columns and rows.
    shift : tuple of float
        Of the picture's centre, rows and columns, as share of its side.
    flipped : bool
        Left and right are exchanged.
    """

    zoom: float = 1.0
    aspect: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How the new slices lie in the old head.

    Attributes
    ----------
    tilt_deg, roll_deg, yaw_deg : float
        Nodding, tilting to a shoulder, and turning in plane.
    sheared : bool
        The slices are stacked along the old axis, as with a tilted gantry.
    in_plane : InPlane
    """

    tilt_deg: float = 0.0
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    sheared: bool = False
    in_plane: InPlane = field(default_factory=InPlane)

    def rotation(self) -> FloatArray:
        """Return the 3 x 3 rotation of (slice, row, column) axes."""

        def turn(degrees: float, first: int, second: int) -> FloatArray:
            matrix, angle = np.eye(3), math.radians(degrees)
            matrix[[first, second], [first, second]] = math.cos(angle)
            matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
            return matrix

        return np.asarray(
            turn(self.tilt_deg, 0, 1) @ turn(self.roll_deg, 0, 2) @ turn(self.yaw_deg, 1, 2)
        )

    @property
    def compression(self) -> float:
        """Length along the new normal of 1 mm along the old one."""
        return float(self.rotation()[0, 0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """A volume to sample from.

    Attributes
    ----------
    voxels : Tensor, shape (slice, row, column), float32
    spacing_mm : tuple of float
        Between slices, rows and columns.
    pivot_mm : tuple of float
        The point that stays in the middle of the slice at offset 0.
    """

    voxels: Tensor
    spacing_mm: Point
    pivot_mm: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The square to sample on each slice."""

    pixels: int
    side_mm: float


def reslice(
    stack: Stack, pose: Pose, offsets_mm: FloatArray, plane: Plane, warp: Tensor | None = None
) -> Tensor:
    """Sample new slices from a volume.

    Parameters
    ----------
    stack : Stack
    pose : Pose
    offsets_mm : numpy.ndarray, shape (n,)
        Of the new slices from the pivot along the new normal.
    plane : Plane
    warp : Tensor, shape (2, n, pixels, pixels), optional
        Displacement of rows and columns, mm.

    Returns
    -------
    Tensor, shape (n, pixels, pixels), float32
        Beyond the volume the nearest voxel is repeated.
    """
    points = _points(pose, offsets_mm, plane, warp)
    sizes = torch.tensor(stack.voxels.shape, dtype=torch.float32)
    index = (points + torch.tensor(stack.pivot_mm)) / torch.tensor(stack.spacing_mm)
    # grid_sample wants (column, row, slice) in -1 ... 1
    grid = (2 * index / (sizes - 1).clamp(min=1) - 1).flip(-1)
    sampled = functional.grid_sample(
        stack.voxels[None, None],
        grid[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return sampled[0, 0]


def _points(pose: Pose, offsets_mm: FloatArray, plane: Plane, warp: Tensor | None) -> Tensor:
    """Return the sampling points relative to the pivot: (n, pixels, pixels, 3), mm."""
    axis = (torch.arange(plane.pixels) + 0.5) / plane.pixels - 0.5
    cut = pose.in_plane
    rows = (axis + cut.shift[0]) * plane.side_mm / cut.zoom
    columns = (axis + cut.shift[1]) * plane.side_mm / cut.zoom * cut.aspect
    if cut.flipped:
        columns = -columns
    turn = torch.from_numpy(pose.rotation()).float()
    shape = (len(offsets_mm), plane.pixels, plane.pixels)
    row_grid, column_grid = rows[None, :, None].expand(shape), columns[None, None].expand(shape)
    if warp is not None:
        row_grid, column_grid = row_grid + warp[0], column_grid + warp[1]
    in_plane = row_grid[..., None] * turn[:, 1] + column_grid[..., None] * turn[:, 2]
    stack = torch.tensor([1 / pose.compression, 0.0, 0.0]) if pose.sheared else turn[:, 0]
    along = torch.from_numpy(offsets_mm).float()[:, None] * stack
    return in_plane + along[:, None, None]


def _steps(start: float, stop: float, step: float) -> FloatArray:
    return np.arange(start, stop, step, dtype=np.float64)


class Scan(StrEnum):
    """Kinds of scan to check on, beside the scan as it was acquired."""

    TILTED = "tilted"
    THICK = "thick"
    THIN = "thin"
    MIXED = "mixed"
    CROPPED = "cropped"


_STEPS_MM: Final = {Scan.THICK: (8.0, 10.0), Scan.THIN: (1.0, 2.5)}


def _check_offsets(scan: Scan, low: float, high: float, rng: np.random.Generator) -> FloatArray:
    """Return slice offsets from the ganglionic level for one kind of scan."""
    if scan is Scan.MIXED:
        # fine below, coarse above, as for the posterior fossa; the change lies near the levels
        change = rng.uniform(-25, 10)
        return np.concatenate([_steps(low, change, 4.0), _steps(change + 1.5, high + 0.1, 7.0)])
    if scan is Scan.CROPPED:
        low, high = max(low, rng.uniform(-45, -25)), min(high, rng.uniform(35, 60))
    step = rng.uniform(*_STEPS_MM.get(scan, (5.0, 5.0)))
    return _steps(low + rng.uniform(0, step), high + 0.1, step)


def simulate(head: LabelledHead, scan: Scan, rng: np.random.Generator) -> LabelledHead:
    """Scan a head again, with another geometry.

    Parameters
    ----------
    head : LabelledHead
    scan : Scan
    rng : numpy.random.Generator

    Returns
    -------
    LabelledHead
        Its levels are those of the original, at the middle of the picture.
    """
    pose = Pose()
    if scan is Scan.TILTED:
        tilt, roll, yaw = rng.uniform(-20, 20), rng.uniform(-10, 10), rng.uniform(-10, 10)
        pose = Pose(tilt_deg=tilt, roll_deg=roll, yaw_deg=yaw, sheared=bool(rng.integers(2)))
    low_mm, high_mm = head.levels_mm
    offsets = _check_offsets(scan, -low_mm, float(head.distances_mm[-1]) - low_mm, rng)
    size, (row_mm, column_mm) = head.voxels.shape[1], head.spacing_mm
    step_mm = float(np.median(np.diff(head.distances_mm)))
    middle = (size / 2 * row_mm, head.voxels.shape[2] / 2 * column_mm)
    steps = np.asarray(np.gradient(offsets))
    stack = Stack(
        voxels=torch.from_numpy(np.array(head.voxels)),
        spacing_mm=(step_mm, row_mm, column_mm),
        pivot_mm=(low_mm, *middle),
    )
    # a thick slice is the mean of three planes
    planes = [
        reslice(
            stack,
            pose,
            offsets + share * np.where(steps > step_mm, steps, 0.0),
            Plane(pixels=size, side_mm=size * row_mm),
        )
        for share in ((-1 / 3, 0.0, 1 / 3) if steps.max() > step_mm else (0.0,))
    ]
    voxels = torch.stack(planes).mean(dim=0).numpy()
    start = float(offsets[0])
    levels_mm = (-start, (high_mm - low_mm) * pose.compression - start)
    return replace(
        head,
        voxels=frozen(voxels),
        distances_mm=frozen(offsets - start),
        spacing_mm=(row_mm, row_mm),
        levels_mm=levels_mm,
        targets_mm=levels_mm,
        readings=(),
    )


def draw_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose for training: mostly mild, now and then extreme."""
    wide = 2.5 if rng.random() < 0.3 else 1.0
    return Pose(
        tilt_deg=float(np.clip(rng.normal(0, 5 * wide), -22, 22)),
        roll_deg=float(np.clip(rng.normal(0, 2.5 * wide), -11, 11)),
        yaw_deg=float(np.clip(rng.normal(0, 5 * wide), -30, 30)),
        sheared=bool(rng.random() < 0.5),
        in_plane=_draw_in_plane(rng),
    )


def draw_flat_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose that keeps the slices where they are."""
    return Pose(yaw_deg=float(rng.normal(0, 6)), in_plane=_draw_in_plane(rng))


def _draw_in_plane(rng: np.random.Generator) -> InPlane:
    return InPlane(
        zoom=float(np.exp(rng.normal(0, 0.07))),
        aspect=float(np.exp(rng.normal(0, 0.03))),
        shift=(float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03))),
        flipped=bool(rng.random() < 0.5),
    )


def draw_warp(count: int, plane: Plane, rng: np.random.Generator) -> Tensor:
    """Draw a smooth in-plane displacement, mm: (2, count, pixels, pixels)."""
    coarse = rng.normal(0, 0.012 * plane.side_mm, (1, 2, 3, 5, 5)).astype(np.float32)
    size = (count, plane.pixels, plane.pixels)
    smooth = functional.interpolate(
        torch.from_numpy(coarse), size, mode="trilinear", align_corners=True
    )
    return smooth[0]


def draw_offsets(low: float, high: float, rng: np.random.Generator) -> FloatArray:
    """Draw slice offsets from the ganglionic level, for training.

    Parameters
    ----------
    low, high : float
        First and last slice of the source, mm from the ganglionic level.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape (n,)
        Rising; steps of 3.3 to 10 mm. The field of view may start at the neck,
        at the skull base or above a level, and end early.
    """
    low, high = _draw_field(low, high, rng)
    kind = rng.random()
    if kind < 0.45:
        step = rng.uniform(4.5, 5.5)
    elif kind < 0.85:
        step = rng.uniform(3.3, 10.0)
    else:
        change, fine = rng.uniform(-40, 30), rng.uniform(3.3, 5.0)
        coarse = rng.uniform(5.0, 10.0)
        lower = _steps(low, change, fine)
        upper = _steps(change + 0.5 * (coarse - fine), high, coarse)
        return np.concatenate([lower, upper])
    return _steps(low + rng.uniform(0, step), high + 0.1, step)


def _draw_field(low: float, high: float, rng: np.random.Generator) -> tuple[float, float]:
    """Draw the field of view along z."""
    kind = rng.random()
    if kind < 0.10:
        low -= rng.uniform(10, 60)
    elif kind < 0.70:
        low = max(low, rng.uniform(-75, -20))
    elif kind < 0.75:
        low = max(low, rng.uniform(-20, 15))
    kind = rng.random()
    if kind < 0.2:
        high = min(high, rng.uniform(25, 60))
    elif kind < 0.25:
        high = min(high, rng.uniform(-10, 25))
    return low, max(high, low + 35)
