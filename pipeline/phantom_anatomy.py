"""Where the parts of the phantom's head lie: shapes shared by tissue and truth.

All numbers are mm in the head frame of `phantom_shapes.Points`, for an adult
of usual size. The ganglionic level is the plane z = 10, the supraganglionic
level the plane z = 30.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.arrays import HuArray
from pipeline.phantom_shapes import Points, Rod, blend_min, ellipsoid, rods, single
from pipeline.regions import Level

LEVEL_Z_MM: Final = {Level.GANGLIONIC: 10.0, Level.SUPRAGANGLIONIC: 30.0}
"""Height of the two ASPECTS levels over the anterior commissure."""

CENTRE: Final = (0.0, -13.0, 8.0)
"""Middle of the cranial cavity; sulci point to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What differs from one head to the next.

    Attributes
    ----------
    atrophy : float
        0 in a young adult, about 1 at 80 years.
    asymmetry : bool
        The two sides differ in known ways.
    seed : int
        Of the folding of the cortex.
    """

    atrophy: float
    asymmetry: bool
    seed: int

    @property
    def ventricle_growth_mm(self) -> float:
        """How much every ventricle's radius exceeds that of a young adult."""
        return 2.6 * self.atrophy

    @property
    def sulcus_mm(self) -> float:
        """Half the width of a sulcus at the surface."""
        return 0.4 + 0.8 * self.atrophy

    @property
    def gap_mm(self) -> float:
        """Thickness of the CSF over the gyri."""
        return 0.8 + 1.3 * self.atrophy

    def sylvian_mm(self, p: Points) -> HuArray:
        """Half the width of the Sylvian fissure; the left one is wider."""
        usual = 0.4 + 0.9 * self.atrophy
        left = 0.9 if self.asymmetry else 0.0
        return single(np.where(p.x < 0, usual + left, usual))


def vault_size(p: Points) -> HuArray:
    """Return 0 at the centre of the cranial cavity, 1 on the vault's inner table."""
    spread = np.where(p.y > -24, np.float32(36), np.float32(60))
    width = 58.5 + 9.5 * np.exp(-(((p.y + 24) / spread) ** 2))
    upwards = np.clip((p.z - 10) / 20, 0, 1.5)
    width = width * (1 + 0.022 * upwards)
    length = 77.5 * (1 - 0.035 * upwards)
    height = np.where(p.z > CENTRE[2], np.float32(70), np.float32(100))
    power = np.float32(2.45)
    total = (np.abs(p.x) / width) ** power
    total += (np.abs(p.y - CENTRE[1]) / length) ** power
    total += (np.abs(p.z - CENTRE[2]) / height) ** power
    return single(np.maximum(total, np.float32(1e-4)) ** (1 / power))


def vault(p: Points, size: HuArray) -> HuArray:
    """Distance to the vault's inner table, extended downwards without a floor."""
    length = np.sqrt((p.x - CENTRE[0]) ** 2 + (p.y - CENTRE[1]) ** 2 + (p.z - CENTRE[2]) ** 2)
    outward = length * (1 - 1 / np.maximum(size, np.float32(0.15)))
    return single(outward)


def with_petalia(p: Points, build: Build) -> Points:
    """Push the left occipital pole back and the right one forward, as is usual."""
    if not build.asymmetry:
        return p
    behind = np.clip(-(p.y + 25) / 55, 0, 1)
    return Points(x=p.x, y=single(p.y + 3.0 * np.tanh(-p.x / 20) * behind), z=p.z)


def cavity(p: Points, vault_distance: HuArray) -> HuArray:
    """Distance to the inside of the skull with its three fossae."""
    f = p.folded
    orbit_roof = 8 * np.exp(-(((f.x - 30) / 14) ** 2) - ((f.y - 38) / 16) ** 2)
    crib = 9 * np.exp(-((f.x / 11) ** 2))
    floor = np.where(p.y > 12, -18 - crib, np.float32(-14)) + orbit_roof
    upper = np.maximum(vault_distance, floor - p.z)
    temporal = ellipsoid(f, (39, -8, -19), (26, 33, 21))
    posterior = ellipsoid(p, (0, -61, -28), (54, 38, 36))
    posterior = np.maximum(posterior, vault_distance + 1)
    sella = ellipsoid(p, (0, -12, -14), (15, 16, 11))
    whole = blend_min(upper, np.minimum(np.maximum(temporal, vault_distance), sella), 3)
    whole = blend_min(whole, posterior, 3)
    canal = Rod((0, -38, -50), (0, -42, -120), (12, 10)).distance(p)
    return single(np.maximum(np.minimum(whole, canal), -petrous(f)))


def petrous(f: Points) -> HuArray:
    """Distance to the petrous pyramid and the lesser wing of the sphenoid."""
    pyramid = Rod((56, -46, -34), (13, -17, -31), (11.5, 6)).distance(f)
    wing = Rod((16, 9, -13), (56, 18, -8), (3, 4.5)).distance(f)
    return single(np.minimum(pyramid, wing))


_VENTRICLE: Final = (
    Rod((15.5, 26.5, 10), (8.5, 24.0, 11), (0.7, 1.3), flat=0.3),  # frontal horn
    Rod((8.5, 24.0, 11), (4.0, 16, 12), (1.3, 1.9), flat=0.3),
    Rod((4.0, 16, 12), (2.6, 3, 13), (1.9, 1.2), flat=0.3),
    Rod((7.5, 14, 22), (10.5, 3, 28), (2.4, 2.6), flat=0.5),  # body
    Rod((10.5, 3, 28), (13, -12, 31.5), (2.6, 2.6), flat=0.5),
    Rod((13, -12, 31.5), (17.5, -27, 29), (2.6, 2.6), flat=0.5),
    Rod((17.5, -27, 29), (24, -40, 13), (2.6, 3.6), flat=0.8),  # atrium
    Rod((24, -39, 13), (27.5, -44, 4), (3.8, 2.8), flat=0.8),
    Rod((28, -41, 4), (33, -20, -11), (2.4, 1.2)),  # temporal horn
    Rod((33, -20, -11), (27, -6, -14), (1.2, 0.8)),
)
_OCCIPITAL_HORN: Final = Rod((25, -43, 9), (23, -60, 7), (3.0, 0.6))


def lateral_ventricles(p: Points, build: Build) -> HuArray:
    """Distance to both lateral ventricles; the left occipital horn is longer."""
    f = p.folded
    grow = build.ventricle_growth_mm
    horn = _OCCIPITAL_HORN.distance(f, 0.5 * grow)
    if build.asymmetry:
        horn = np.where(p.x < 0, horn, np.maximum(horn, -51 - p.y))
    shape = np.minimum(rods(f, _VENTRICLE, 0.8 * grow), horn)
    # the septum and the callosum keep the two sides apart
    return single(np.maximum(shape, 0.8 - f.x))


def third_ventricle(p: Points, build: Build) -> HuArray:
    """Distance to the third ventricle: a slit between the thalami."""
    half = 0.9 + 0.45 * build.ventricle_growth_mm
    widening = 1.8 * np.clip((-p.y - 12) / 16, 0, 1)
    slit = np.abs(p.x) - half - widening
    side = np.maximum(np.abs(p.y + 13) - 15, np.abs(p.z - 2) - 12)
    return single(np.maximum(slit, side))


def _half_plane(f: Points, start: tuple[float, float], end: tuple[float, float]) -> HuArray:
    """Distance to the left of a line in the axial plane, positive there."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = float(np.hypot(dx, dy))
    return single((dx * (f.y - start[1]) - dy * (f.x - start[0])) / length)


_FRONT: Final = (21.5, 18.5)
_KNEE: Final = (14.5, 2.5)
_BACK: Final = (28.5, -19.5)
CAPSULE_MM: Final = 5.4
"""Thickness of the internal capsule between the nuclei."""


def medial_faces(f: Points) -> tuple[HuArray, HuArray]:
    """Signed distance medially of the lentiform's two inner faces: front, back."""
    return -_half_plane(f, _FRONT, _KNEE), -_half_plane(f, _KNEE, _BACK)


def caudate(f: Points, build: Build) -> HuArray:
    """Distance to the caudate nucleus, head and body (folded points)."""
    aside = 0.55 * build.ventricle_growth_mm
    head = ellipsoid(f, (11.3 + aside, 14.6, 8), (6.3, 9.8, 13), turn_deg=4)
    front, _ = medial_faces(f)
    head = single(np.maximum(head, CAPSULE_MM - 0.6 - front))
    body = rods(
        f,
        (
            Rod((14.5 + aside, 6, 19), (16.5 + aside, -6, 25), (4.2, 3.2)),
            Rod((16.5 + aside, -6, 25), (22 + aside, -25, 26), (3.2, 1.8)),
        ),
    )
    return blend_min(head, body, 3)


def lentiform(f: Points) -> HuArray:
    """Distance to the lentiform nucleus: two flat inner faces, a round outer one."""
    front, back = medial_faces(f)
    shrink = 15 * (1 - np.sqrt(np.clip(1 - ((f.z - 4) / 17) ** 2, 0.02, 1)))
    outer = np.hypot(f.x + 3, f.y - 0.5) - 33.8
    shape = -blend_min(blend_min(-front, -back, 3.0), single(-outer), 3.0) + 0.55 * shrink - 0.4
    return single(np.maximum(shape, np.abs(f.z - 4) - 17))


def capsule(f: Points) -> HuArray:
    """Distance to the internal capsule: two limbs and the knee between them."""
    front, back = medial_faces(f)
    medial = np.maximum(front, back)
    ends = np.maximum(f.y - 21, -24.5 - f.y)
    outer = np.hypot(f.x + 3, f.y - 0.5) - 33.3
    band = np.maximum(np.maximum(-medial, medial - CAPSULE_MM), outer)
    return single(np.maximum(band, ends))


def thalamus(f: Points) -> HuArray:
    """Distance to the thalamus, which lies against the capsule's hind limb."""
    egg = ellipsoid(f, (11.0, -17.0, 7.5), (10.5, 15.5, 11), turn_deg=-24)
    _, back = medial_faces(f)
    return single(np.maximum(egg, CAPSULE_MM - back))


def insula_surface(f: Points) -> HuArray:
    """Return x of the insula's outer surface, mm."""
    bend = ((f.y + 2) / 27) ** 2 * 6.5 + ((f.z - 4) / 20) ** 2 * 3
    ripple = 0.6 * np.cos(f.y * np.float32(0.6) + 0.15 * f.z)
    return single(43.2 - bend + ripple)


def insula_reach(f: Points) -> HuArray:
    """Distance beyond the rim of the insula, seen from the side."""
    return single(22 * (np.sqrt(((f.y - 3) / 26) ** 2 + ((f.z - 3) / 19) ** 2) - 1))


def sylvian(p: Points, build: Build) -> HuArray:
    """Distance to the Sylvian fissure: over the insula, out to the surface, stem."""
    f = p.folded
    half = build.sylvian_mm(p) * (0.6 + 0.8 * np.exp(-(((f.y - 10) / 14) ** 2)))
    across = f.x - insula_surface(f)
    over = np.maximum(np.abs(across - half) - half, insula_reach(f))
    way = 19 - 0.12 * (f.x - 45) + 1.5 * np.sin(f.x * np.float32(0.35))
    out = np.abs(f.y - way) - 0.8 * half
    out = np.maximum(np.maximum(out, 36 - f.x), np.abs(f.z - 4) - 12)
    hind = -24 - 0.7 * (f.z - 18) + 0.3 * (f.x - 50) + 1.5 * np.sin(f.x * np.float32(0.4))
    back = np.maximum(np.abs(f.y - hind) - 0.6 * half, 42 - f.x)
    back = np.maximum(back, np.abs(f.z - 18) - 9)
    stem = np.abs(f.y - (3 + 0.25 * f.x)) - 0.9 * half
    stem = np.maximum(np.maximum(stem, 8 - f.x), np.abs(f.z + 12) - 6)
    return single(np.minimum.reduce([over, out, back, stem]))


def midline_core(p: Points) -> HuArray:
    """Distance to what joins the hemispheres: callosum, thalami, brain stem."""
    size = np.hypot((p.y + 7) / 37, (p.z - 6) / 28)
    upper = 30 * (size - 1)
    return single(upper)


def tentorium_height(f: Points) -> HuArray:
    """Return z of the tentorium, mm: highest in the middle, over the vermis."""
    aside = (f.x / 50) ** 2 * 22
    back = np.clip((-f.y - 45) / 45, 0, 1) * 14
    front = np.clip(f.y + 45, 0, 60)
    return single(3 - aside - back - front)


def below_tentorium(f: Points) -> HuArray:
    """Distance to the posterior fossa and the notch with the brain stem."""
    behind_ridge = f.y + 17 + 0.674 * (f.x - 13)
    fossa = np.maximum(f.z - tentorium_height(f), behind_ridge)
    notch = np.maximum(np.maximum(f.x - 15, f.z - 3), np.maximum(f.y + 8, -45 - f.y))
    return single(np.minimum(fossa, notch))
