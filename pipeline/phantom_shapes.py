"""Shapes of the phantom as smooth functions of a point: negative inside, in mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.arrays import HuArray

IndexArray = npt.NDArray[np.intp]
"""Indices of chosen points."""

EDGE_MM: Final = 0.6
"""Half the width over which one tissue passes into the next."""


def single(values: npt.ArrayLike) -> HuArray:
    """Return values as float32."""
    return np.asarray(values, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Points in the head frame, mm: x to the right, y forward, z up.

    The frame of the Montreal template: the origin lies in the anterior
    commissure, y runs from the posterior to the anterior commissure.

    Attributes
    ----------
    x, y, z : numpy.ndarray, shape (n,), float32
    """

    x: HuArray
    y: HuArray
    z: HuArray

    @property
    def folded(self) -> Points:
        """The same points with the left half laid on the right."""
        return Points(x=np.abs(self.x), y=self.y, z=self.z)

    def take(self, chosen: IndexArray) -> Points:
        """Return some of the points."""
        return Points(x=self.x[chosen], y=self.y[chosen], z=self.z[chosen])

    def within(
        self, low: tuple[float, float, float], high: tuple[float, float, float]
    ) -> IndexArray:
        """Return the indices of the points in a box."""
        x, y, z = self.x, self.y, self.z
        inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
        return np.flatnonzero(inside & (z > low[2]) & (z < high[2]))


def ellipsoid(
    p: Points,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    turn_deg: float = 0.0,
) -> HuArray:
    """Distance to an ellipsoid, measured along the line to its centre.

    Parameters
    ----------
    p : Points
    centre, radii : tuple of float
        In mm.
    turn_deg : float
        Turn about z; positive brings its front end to the left.

    Examples
    --------
    >>> at = [np.array([value], np.float32) for value in (12, 0, 0)]
    >>> ellipsoid(Points(x=at[0], y=at[1], z=at[2]), (0, 0, 0), (10, 20, 30)).round(3).tolist()
    [2.0]
    """
    x, y, z = p.x - centre[0], p.y - centre[1], p.z - centre[2]
    if turn_deg:
        c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        x, y = np.float32(c) * x + np.float32(s) * y, np.float32(c) * y - np.float32(s) * x
    size = (x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2
    size = np.sqrt(np.maximum(size, np.float32(1e-4)))
    length = np.sqrt(x * x + y * y + z * z)
    near_centre = np.float32(min(radii)) * (size - 1)
    return single(np.where(size < 0.2, near_centre, length * (1 - 1 / size)))


@dataclass(frozen=True, slots=True)
class Rod:
    """A round rod between two points whose radius changes evenly.

    Attributes
    ----------
    start, end : tuple of float
        Head frame, mm.
    radii : tuple of float
        At the start, at the end.
    flat : float
        Distances along z count this much: below 1 the rod is taller than wide.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radii: tuple[float, float]
    flat: float = 1.0

    def distance(self, p: Points, grow: float = 0.0) -> HuArray:
        """Distance to the rod, its radius enlarged by ``grow`` mm."""
        x, y, z = p.x - self.start[0], p.y - self.start[1], (p.z - self.start[2]) * self.flat
        a = np.subtract(self.end, self.start) * (1.0, 1.0, self.flat)
        ax, ay, az = (float(value) for value in a)
        share = np.clip((x * ax + y * ay + z * az) / float(a @ a), 0, 1)
        gap = np.sqrt((x - share * ax) ** 2 + (y - share * ay) ** 2 + (z - share * az) ** 2)
        radius = self.radii[0] + share * (self.radii[1] - self.radii[0]) + grow
        return single(gap - radius)


def rods(p: Points, parts: tuple[Rod, ...], grow: float = 0.0) -> HuArray:
    """Distance to the nearest of several rods."""
    return single(np.minimum.reduce([part.distance(p, grow) for part in parts]))


def blend_min(a: HuArray, b: HuArray, width: float) -> HuArray:
    """Union of two shapes with a rounded seam of some mm."""
    share = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return single(b + (a - b) * share - width * share * (1 - share))


def paint(hu: HuArray, distance: HuArray, value: float | HuArray, edge: float = EDGE_MM) -> None:
    """Lay a tissue over what is there, in place, with a soft edge."""
    share = np.clip(0.5 - distance * np.float32(0.5 / edge), 0, 1)
    hu += share * (value - hu)


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """A sum of plane waves in fixed directions: smooth, endless, repeatable.

    Attributes
    ----------
    vectors : numpy.ndarray, shape (k, 3), float32
        Wave vectors, radians per mm.
    phases : numpy.ndarray, shape (k,), float32
    """

    vectors: HuArray
    phases: HuArray

    @classmethod
    def make(cls, seed: int, wavelength_mm: float, count: int = 7) -> Waves:
        """Spread directions evenly over the sphere, with drawn lengths and phases."""
        rng = np.random.default_rng(seed)
        height = 1 - 2 * (np.arange(count) + 0.5) / count
        angle = np.pi * (1 + 5**0.5) * np.arange(count) + rng.uniform(0, 2 * np.pi)
        ring = np.sqrt(1 - height**2)
        unit = np.stack((ring * np.cos(angle), ring * np.sin(angle), height), axis=1)
        length = 2 * np.pi / (wavelength_mm * rng.uniform(0.8, 1.25, count))
        return cls(
            single(unit * length[:, None]),
            single(rng.uniform(0, 2 * np.pi, count)),
        )

    def value(self, p: Points) -> HuArray:
        """Return the field, scaled to a standard deviation of about one."""
        total = np.zeros_like(p.x)
        for (kx, ky, kz), phase in zip(self.vectors, self.phases, strict=True):
            total += np.sin(kx * p.x + ky * p.y + kz * p.z + phase)
        return single(total * np.float32((2 / len(self.phases)) ** 0.5))

    def sheet_distance(self, p: Points) -> HuArray:
        """Distance to the nearest surface on which the field is zero, in mm."""
        total, gx, gy, gz = (np.zeros_like(p.x) for _ in range(4))
        for (kx, ky, kz), phase in zip(self.vectors, self.phases, strict=True):
            angle = kx * p.x + ky * p.y + kz * p.z + phase
            total += np.sin(angle)
            slope = np.cos(angle)
            gx += kx * slope
            gy += ky * slope
            gz += kz * slope
        steep = np.sqrt(gx * gx + gy * gy + gz * gz)
        usual = np.float32(np.sqrt((self.vectors**2).sum() / 2))
        return single(np.abs(total) / np.maximum(steep, 0.5 * usual))
