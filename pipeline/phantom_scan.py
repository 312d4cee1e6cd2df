"""Sample the phantom's head on the slices of an acquisition, with the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.arrays import FloatArray, HuArray, LabelArray, frozen
from pipeline.phantom_anatomy import LEVEL_Z_MM, Build
from pipeline.phantom_geometry import Acquisition, Grid, Pose
from pipeline.phantom_regions import number_of, region_labels
from pipeline.phantom_shapes import Points
from pipeline.phantom_tissue import Bleed, Head
from pipeline.regions import Level, Region, Side

_SAMPLE_MM: Final = 0.75
"""Finest step in the plane at which the head is sampled."""
_BLUR_MM: Final = 0.55
"""Standard deviation of the in-plane blur, as of a soft kernel."""
_LESION_REACH_MM: Final = 9.0
"""A lesion spreads this far above and below the level of its region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """A region that is darker, or brighter, than it should be.

    Attributes
    ----------
    region : Region
    side : Side
    delta_hu : float
        Added to the region's grey and white matter; negative is darker.
    """

    region: Region
    side: Side
    delta_hu: float = -6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """Everything that makes one phantom; the same values give the same bytes.

    Attributes
    ----------
    age_years : int
        Widens ventricles and sulci, and goes into ``PatientAge``.
    pose : Pose
    acquisition : Acquisition
    patient_position : str
        ``PatientPosition`` (0018,5100): ``"HFS"``, ``"FFS"``, ``"HFP"`` ...
    lesions : tuple of Lesion
    bleed : Bleed or None
    contrast : bool
        Vessels full of contrast agent, and said so in the header.
    asymmetry : bool
        Left Sylvian fissure, occipital pole and horn larger; calcified
        choroid plexus and fewer mastoid cells on the right.
    noise_sd_hu : float
    seed : int
        Of the noise and the folding of the cortex.
    sub_samples : int
        Planes averaged over the slice thickness.
    padding : bool
        Pixels outside the reconstruction circle hold the padding value.
    """

    age_years: int = 60
    pose: Pose = field(default_factory=Pose)
    acquisition: Acquisition = field(default_factory=Acquisition)
    patient_position: str = "HFS"
    lesions: tuple[Lesion, ...] = ()
    bleed: Bleed | None = None
    contrast: bool = False
    asymmetry: bool = True
    noise_sd_hu: float = 3.0
    seed: int = 0
    sub_samples: int = 4
    padding: bool = False

    @property
    def build(self) -> Build:
        """What differs in the anatomy."""
        atrophy = float(np.clip((self.age_years - 25) / 55, 0, 1.3)) ** 1.3
        return Build(atrophy=atrophy, asymmetry=self.asymmetry, seed=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Phantom:
    """A phantom's voxels and the truth about them.

    Attributes
    ----------
    spec : PhantomSpec
    grid : Grid
        Slices in the order in which they are stored.
    voxels : numpy.ndarray, shape (slice, row, column), float32
        Hounsfield units, in stored order.
    labels : numpy.ndarray, shape (slice, row, column), uint8
        Region numbers on the two slices of the levels, 0 elsewhere.
    levels : mapping of Level to int
        Slice index in order from inferior to superior.
    """

    spec: PhantomSpec
    grid: Grid
    voxels: HuArray
    labels: LabelArray
    levels: Mapping[Level, int]

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        frozen(self.voxels)
        frozen(self.labels)

    def stored_index(self, level: Level) -> int:
        """Return the index of a level's slice in ``voxels`` and ``labels``."""
        return int(np.argsort(self.grid.positions_mm @ self.grid.normal)[self.levels[level]])


def make_phantom(spec: PhantomSpec) -> Phantom:
    """Sample a head.

    Parameters
    ----------
    spec : PhantomSpec

    Returns
    -------
    Phantom
    """
    grid = spec.acquisition.grid()
    head_to_patient = spec.pose.head_to_patient()
    stored = {level: _level_index(grid, level, head_to_patient) for level in Level}
    patient_to_head = np.asarray(np.linalg.inv(head_to_patient), dtype=float)
    voxels = _sample(spec, grid, patient_to_head)
    labels = np.zeros(voxels.shape, dtype=np.uint8)
    whole = np.arange(grid.rows, dtype=float), np.arange(grid.columns, dtype=float)
    for level, index in stored.items():
        points = grid.points(index, *whole, patient_to_head)
        labels[index] = region_labels(points, level, spec.build).reshape(grid.rows, grid.columns)
    heights = grid.positions_mm @ grid.normal
    levels = {level: int((heights < heights[index]).sum()) for level, index in stored.items()}
    return Phantom(spec=spec, grid=grid, voxels=voxels, labels=labels, levels=levels)


def _level_index(grid: Grid, level: Level, head_to_patient: FloatArray) -> int:
    """Return the stored slice nearest to a level, in the middle of the brain."""
    middle = np.asarray((0.0, -13.0, LEVEL_Z_MM[level], 1.0))
    return grid.nearest((head_to_patient @ middle)[:3])


def _sample(spec: PhantomSpec, grid: Grid, patient_to_head: FloatArray) -> HuArray:
    """Hounsfield units of every voxel, with blur and noise."""
    head = Head(spec.build, contrast=spec.contrast, bleed=spec.bleed)
    rng = np.random.default_rng(spec.seed)
    rows, row_weights = _lattice(grid.rows, grid.pixel_spacing_mm[0])
    columns, column_weights = _lattice(grid.columns, grid.pixel_spacing_mm[1])
    voxels = np.empty((len(grid.positions_mm), grid.rows, grid.columns), dtype=np.float32)
    steps = (np.arange(spec.sub_samples) + 0.5) / spec.sub_samples - 0.5
    for index, thickness in enumerate(grid.thickness_mm):
        total = np.zeros(len(rows) * len(columns), dtype=np.float32)
        for offset in steps * thickness:
            points = grid.points(index, rows, columns, patient_to_head, float(offset))
            hu = head.hu(points)
            _add_lesions(hu, points, spec)
            total += hu
        plane = total.reshape(len(rows), len(columns)) / np.float32(spec.sub_samples)
        voxels[index] = row_weights @ plane @ column_weights.T
        voxels[index] += _noise(rng, grid, spec.noise_sd_hu)
    return voxels


def _lattice(count: int, spacing: float) -> tuple[FloatArray, HuArray]:
    """Choose sampling coordinates along one axis, and the blur back to pixels.

    Returns
    -------
    coordinates : numpy.ndarray, shape (m,)
        In pixels.
    weights : numpy.ndarray, shape (count, m), float32
        ``weights @ samples`` are the pixels.
    """
    pitch = max(_SAMPLE_MM, 0.7 * spacing) / spacing
    coordinates = np.asarray(np.arange(-1.0, count + pitch, pitch), dtype=float)
    sigma = max(_BLUR_MM / spacing, 0.5 * pitch)
    weights = np.exp(-0.5 * ((np.arange(count)[:, None] - coordinates) / sigma) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return coordinates, weights.astype(np.float32)


def _noise(rng: np.random.Generator, grid: Grid, sd_hu: float) -> HuArray:
    """Noise as grainy as that of a soft kernel."""
    field = rng.standard_normal((grid.rows, grid.columns), dtype=np.float32)
    for axis in (0, 1):
        field = field + 0.6 * (np.roll(field, 1, axis) + np.roll(field, -1, axis))
    return np.asarray(field * np.float32(sd_hu / (1 + 2 * 0.6**2)), dtype=np.float32)


def _add_lesions(hu: HuArray, points: Points, spec: PhantomSpec) -> None:
    """Shift the tissue of the chosen regions, in place."""
    for lesion in spec.lesions:
        number = number_of(lesion.region, lesion.side)
        level = next(item for item in Level if _is_read_on(lesion.region, item))
        z = LEVEL_Z_MM[level]
        near = points.within((-80, -90, z - _LESION_REACH_MM), (80, 80, z + _LESION_REACH_MM))
        labels = region_labels(points.take(near), level, spec.build)
        hit = near[labels == number]
        tissue = hit[(hu[hit] > 20) & (hu[hit] < 60)]
        hu[tissue] += np.float32(lesion.delta_hu)


def _is_read_on(region: Region, level: Level) -> bool:
    return (level is Level.SUPRAGANGLIONIC) == (region in {Region.M4, Region.M5, Region.M6})
