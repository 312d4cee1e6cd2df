"""Where the phantom's slices lie, and which point of the head each pixel sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from pipeline.arrays import FloatArray, frozen
from pipeline.geometry import slice_normal
from pipeline.phantom_anatomy import CENTRE
from pipeline.phantom_shapes import Points


class Orientation(StrEnum):
    """How the grid is stored. All but OBLIQUE are exact axial turns."""

    STANDARD = "standard"
    REVERSED = "reversed"
    """The first stored slice is the topmost."""
    PRONE = "prone"
    """Rows run forward, columns to the right."""
    FLIPPED = "flipped"
    """Columns run to the right, rows backward: seen from above."""
    TRANSPOSED = "transposed"
    """Rows run to the left, columns backward."""
    OBLIQUE = "oblique"
    """Turned by 14 degrees in the plane."""


_TURN: Final = np.deg2rad(14)
_AXES: Final[dict[Orientation, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    Orientation.STANDARD: ((1, 0, 0), (0, 1, 0)),
    Orientation.REVERSED: ((1, 0, 0), (0, 1, 0)),
    Orientation.PRONE: ((-1, 0, 0), (0, -1, 0)),
    Orientation.FLIPPED: ((-1, 0, 0), (0, 1, 0)),
    Orientation.TRANSPOSED: ((0, 1, 0), (1, 0, 0)),
    Orientation.OBLIQUE: (
        (float(np.cos(_TURN)), float(np.sin(_TURN)), 0),
        (-float(np.sin(_TURN)), float(np.cos(_TURN)), 0),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceBlock:
    """Slices of one thickness and step; a series may have several such blocks.

    Attributes
    ----------
    count : int
    thickness_mm : float
    step_mm : float
        Table feed from one slice to the next, along patient z.
    """

    count: int
    thickness_mm: float = 5.0
    step_mm: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How the head lies, relative to straight.

    Attributes
    ----------
    roll_deg : float
        About the front-back axis; positive tips the vertex to the left.
    yaw_deg : float
        About the long axis; positive turns the face to the left.
    pitch_deg : float
        About the right-left axis; positive lifts the chin.
    shift_mm : tuple of float
        To the left, to the back, upwards (patient space, LPS).
    scale : float
        Size of the head, 1 for the usual adult.
    """

    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    def head_to_patient(self) -> FloatArray:
        """Return the 4 x 4 affine from the head frame to patient space (LPS, mm)."""
        flip = np.diag((-1.0, -1.0, 1.0))
        turn = (
            _rotation(2, self.yaw_deg) @ _rotation(1, self.roll_deg) @ _rotation(0, self.pitch_deg)
        )
        linear = turn @ flip * self.scale
        affine = np.eye(4)
        affine[:3, :3] = linear
        pivot = flip @ np.asarray(CENTRE)
        affine[:3, 3] = pivot + np.asarray(self.shift_mm) - linear @ np.asarray(CENTRE)
        return affine


def _rotation(axis: int, degrees: float) -> FloatArray:
    """Right-handed rotation about one axis of patient space."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = c
    matrix[first, second], matrix[second, first] = -s, s
    return matrix


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """The slices of a phantom, in the order in which they are stored.

    Attributes
    ----------
    image_orientation : numpy.ndarray, shape (6,), float64
        ``ImageOrientationPatient`` (0020,0037).
    positions_mm : numpy.ndarray, shape (n, 3), float64
        ``ImagePositionPatient`` (0020,0032), LPS.
    thickness_mm : numpy.ndarray, shape (n,), float64
    pixel_spacing_mm : tuple of float
        Between rows, then between columns.
    rows, columns : int
    """

    image_orientation: FloatArray
    positions_mm: FloatArray
    thickness_mm: FloatArray
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        frozen(self.image_orientation)
        frozen(self.positions_mm)
        frozen(self.thickness_mm)

    @property
    def normal(self) -> FloatArray:
        """Unit normal of the slices, upwards."""
        normal = slice_normal(self.image_orientation)
        return normal if normal[2] > 0 else -normal

    def nearest(self, point_mm: FloatArray) -> int:
        """Return the stored index of the slice nearest to a point (LPS, mm)."""
        offsets = (self.positions_mm - point_mm) @ self.normal
        return int(np.argmin(np.abs(offsets)))

    def points(
        self,
        index: int,
        rows: FloatArray,
        columns: FloatArray,
        patient_to_head: FloatArray,
        offset_mm: float = 0.0,
    ) -> Points:
        """Return the head-frame points under a lattice of pixel coordinates.

        Parameters
        ----------
        index : int
            Stored slice.
        rows, columns : numpy.ndarray
            Row and column coordinates; the lattice is their outer product,
            flattened in row-major order.
        patient_to_head : numpy.ndarray, shape (4, 4)
        offset_mm : float
            Along the normal, from the middle of the slice.
        """
        along_columns, along_rows = np.reshape(self.image_orientation, (2, 3))
        start = self.positions_mm[index] + offset_mm * self.normal
        down = rows[:, None] * self.pixel_spacing_mm[0] * along_rows[:, None, None]
        across = columns[None, :] * self.pixel_spacing_mm[1] * along_columns[:, None, None]
        at = np.einsum("ij,jrc->irc", patient_to_head[:3, :3], down + across)
        at += (patient_to_head[:3, :3] @ start + patient_to_head[:3, 3])[:, None, None]
        x, y, z = (axis.ravel().astype(np.float32) for axis in at)
        return Points(x=x, y=y, z=z)


def _heights(blocks: tuple[SliceBlock, ...], first_z_mm: float) -> tuple[FloatArray, FloatArray]:
    """Return z and thickness of each slice, from below upwards."""
    heights: list[float] = []
    thickness: list[float] = []
    z = first_z_mm
    for number, block in enumerate(blocks):
        for item in range(block.count):
            # between two blocks the feed is the mean of theirs
            if item:
                z += block.step_mm
            elif number:
                z += (blocks[number - 1].step_mm + block.step_mm) / 2
            heights.append(z)
            thickness.append(block.thickness_mm)
    return np.asarray(heights), np.asarray(thickness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How the scanner is set.

    Attributes
    ----------
    blocks : tuple of SliceBlock
        From below upwards.
    first_z_mm : float
        Patient z of the lowest slice, in the middle of the image.
    centre_mm : tuple of float
        Patient x and y of the middle of the images, LPS.
    rows, columns : int
    pixel_spacing_mm : tuple of float
        Between rows, then between columns.
    gantry_tilt_deg : float
        The slices tilt about the right-left axis while the table feeds along
        z; positive tips their front upwards.
    orientation : Orientation
    """

    blocks: tuple[SliceBlock, ...] = (SliceBlock(count=32),)
    first_z_mm: float = -64.0
    centre_mm: tuple[float, float] = (0.0, 8.0)
    rows: int = 512
    columns: int = 512
    pixel_spacing_mm: tuple[float, float] = (0.5, 0.45)
    gantry_tilt_deg: float = 0.0
    orientation: Orientation = Orientation.STANDARD

    def grid(self) -> Grid:
        """Lay out the slices."""
        tilt = _rotation(0, -self.gantry_tilt_deg)
        along_columns, along_rows = (
            tilt @ np.asarray(axis, float) for axis in _AXES[self.orientation]
        )
        heights, thickness = _heights(self.blocks, self.first_z_mm)
        centres = np.column_stack(
            (
                np.full_like(heights, self.centre_mm[0]),
                np.full_like(heights, self.centre_mm[1]),
                heights,
            )
        )
        row_spacing, column_spacing = self.pixel_spacing_mm
        corner = along_rows * row_spacing * (self.rows - 1) / 2
        corner = corner + along_columns * column_spacing * (self.columns - 1) / 2
        order = slice(None, None, -1) if self.orientation is Orientation.REVERSED else slice(None)
        return Grid(
            image_orientation=np.concatenate((along_columns, along_rows)),
            positions_mm=(centres - corner)[order].copy(),
            thickness_mm=thickness[order].copy(),
            pixel_spacing_mm=self.pixel_spacing_mm,
            rows=self.rows,
            columns=self.columns,
        )
