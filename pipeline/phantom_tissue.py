"""Hounsfield units of the phantom's head at any point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline import phantom_anatomy as anatomy
from pipeline.arrays import HuArray
from pipeline.phantom_anatomy import Build
from pipeline.phantom_shapes import Points, Rod, Waves, blend_min, ellipsoid, paint, rods, single

AIR: Final = -1000.0
FAT: Final = -95.0
SKIN: Final = 25.0
MUSCLE: Final = 52.0
TABLE: Final = 1250.0
DIPLOE: Final = 520.0
CSF: Final = 7.0
GREY: Final = 36.5
WHITE: Final = 28.5
DEEP_GREY: Final = 36.5
DURA: Final = 48.0
BLOOD_POOL: Final = 50.0
CALCIUM: Final = 150.0
HEADREST: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bleed:
    """A round intracerebral haemorrhage.

    Attributes
    ----------
    centre_mm : tuple of float
        Head frame.
    radius_mm, hu : float
    """

    centre_mm: tuple[float, float, float]
    radius_mm: float = 14.0
    hu: float = 65.0


class Head:
    """The phantom's head as a function of the point.

    Parameters
    ----------
    build : Build
    contrast : bool
        The vessels are full of contrast agent.
    bleed : Bleed or None
    """

    def __init__(self, build: Build, *, contrast: bool = False, bleed: Bleed | None = None) -> None:
        self._build = build
        self._blood = 190.0 if contrast else BLOOD_POOL
        self._bleed = bleed
        self._folds = Waves.make(build.seed + 1, 21.0, 9)
        self._medial_folds = Waves.make(build.seed + 2, 30.0, 7)
        self._depth = Waves.make(build.seed + 3, 45.0, 5)
        self._cells = Waves.make(build.seed + 4, 7.0, 9)
        self._folia = Waves.make(build.seed + 5, 70.0, 3)

    def hu(self, points: Points) -> HuArray:
        """Return Hounsfield units, shape (n,), float32."""
        hu = np.full_like(points.x, AIR)
        near = points.within((-104, -125, -125), (104, 125, 105))
        p = points.take(near)
        part = np.full_like(p.x, AIR)
        size = anatomy.vault_size(anatomy.with_petalia(p, self._build))
        vault = anatomy.vault(p, size)
        cavity = anatomy.cavity(p, vault)
        shell = np.flatnonzero(cavity > -2.5)
        outer = part[shell]
        self._shell(outer, p.take(shell), vault[shell], cavity[shell])
        part[shell] = outer
        brain = np.flatnonzero(cavity < 1.0)
        inner = np.full(len(brain), CSF, dtype=np.float32)
        self._contents(inner, p.take(brain), cavity[brain], size[brain])
        blend = np.clip(0.5 - cavity[brain] / 1.2, 0, 1)
        part[brain] = part[brain] * (1 - blend) + inner * blend
        hu[near] = part
        return hu

    # -- outside the cavity -------------------------------------------------

    def _shell(self, hu: HuArray, p: Points, vault: HuArray, cavity: HuArray) -> None:
        f = p.folded
        depth = self._cells.value(p)
        thick = (
            6.5
            + 1.2 * np.sin(p.y * np.float32(0.05) + 1)
            + 2.5 * np.exp(-((p.y + 95) ** 2 + p.x**2) / 300)
        )
        skin = self._skin(f, p, vault)
        paint(hu, self._headrest(p), HEADREST)
        paint(hu, skin, SKIN)
        paint(hu, skin + 1.8, FAT)
        muscle = np.maximum(np.abs(vault - thick - 4) - 3.0, np.hypot(p.y - 5, p.z + 18) - 36)
        paint(hu, np.maximum(muscle, skin + 2.5), MUSCLE)
        if len(hu) and float(p.z.min()) < 5:
            self._face(hu, p, skin)
        bone = np.where(p.z > 0, cavity - thick, cavity - 0.75 * thick)
        bone = np.maximum(bone, skin + 3)
        paint(hu, bone, TABLE)
        marrow = np.maximum(np.maximum(bone + 1.9, 1.7 - cavity), -5 - p.z)
        paint(hu, marrow, DIPLOE + 120 * depth)
        if len(hu) and float(p.z.min()) < 20:
            self._base(hu, p, depth, skin)

    def _headrest(self, p: Points) -> HuArray:
        """Distance to the shell in which the head lies."""
        shell = np.abs(100 * (np.hypot(p.x / 98, (p.y + 12) / 106) - 1)) - 1.2
        return single(np.maximum(shell, p.y - 5 + 0.3 * p.z))

    def _skin(self, f: Points, p: Points, vault: HuArray) -> HuArray:
        taper = np.clip(-(p.z + 25) / 60, 0, 1)
        scalp = single(vault - 13.0 + 14 * taper)
        face = ellipsoid(f, (0, 28, -48), (66, 62, 62))
        nose = ellipsoid(f, (0, 92, -42), (13, 14, 20))
        neck = ellipsoid(f, (0, -46, -100), (62, 70, 80))
        return blend_min(blend_min(scalp, blend_min(face, nose, 8), 8), neck, 12)

    def _face(self, hu: HuArray, p: Points, skin: HuArray) -> None:
        f = p.folded
        paint(
            hu,
            np.maximum(skin + 5, p.z + 22),
            self._meat(f),
        )
        neck = np.maximum(ellipsoid(f, (22, -82, -76), (38, 32, 42)), skin + 5)
        paint(hu, neck, self._meat(f))
        zygoma = Rod((52, 60, -40), (68, 12, -40), (4.5, 3.5)).distance(f)
        jaw = Rod((50, 5, -45), (46, -2, -95), (5.5, 5)).distance(f)
        orbit = ellipsoid(f, (31, 48, -27), (19, 27, 16), turn_deg=-14)
        cheek = ellipsoid(f, (27, 50, -57), (18, 20, 19)) + 2.5 * self._depth.value(f)
        cheek = np.maximum(
            single(np.maximum(cheek, 1.6 - orbit)), 0.6 * (f.x - 32) + 0.8 * (f.y - 62)
        )
        nasal = ellipsoid(f, (0, 48, -42), (18, 36, 26))
        nasal = np.maximum(nasal, 1.6 - np.minimum(orbit, cheek))
        roof = np.maximum(np.minimum(np.minimum(orbit, cheek), nasal) - 2.6, skin + 5)
        paint(hu, np.minimum(np.minimum(roof, zygoma), jaw), TABLE - 250)
        paint(hu, orbit, FAT)
        self._orbit(hu, f)
        paint(hu, cheek, AIR)
        paint(hu, nasal, AIR)
        turbinates = np.abs(np.abs(f.x - 9) - 4) - 1.2
        turbinates = np.maximum(turbinates, np.abs(np.sin(p.z * 0.35)) - 0.75)
        septum = np.minimum(np.abs(p.x - 0.6 * np.sin(p.y * 0.1)) - 0.9, turbinates)
        paint(hu, np.maximum(septum, nasal), 260.0)

    def _meat(self, f: Points) -> HuArray:
        """Muscles of the face with fat between them."""
        grain = self._depth.value(Points(x=f.x * 2.2, y=f.y * 2.2, z=f.z))
        return single(
            FAT + (MUSCLE - FAT) * np.clip(1.0 + 1.2 * grain, 0, 1) - 8 * np.sin(grain * 4)
        )

    def _orbit(self, hu: HuArray, f: Points) -> None:
        paint(hu, Rod((30, 60, -28), (14, 18, -20), (2.2, 2.4)).distance(f), 35.0)
        for side in (9.5, -9.5):
            muscle = Rod((31 + side, 62, -28), (17 + side / 3, 22, -22), (2.0, 1.6))
            paint(hu, muscle.distance(f), MUSCLE)
        globe = ellipsoid(f, (31, 66, -28), (12.2, 12.2, 12.2))
        paint(hu, globe, 48.0)
        paint(hu, globe + 1.3, 9.0)
        paint(hu, ellipsoid(f, (31, 74.5, -28), (4.6, 2.2, 4.6)), 75.0)

    def _base(self, hu: HuArray, p: Points, depth: HuArray, skin: HuArray) -> None:
        f = p.folded
        solid = np.minimum(anatomy.petrous(f), Rod((0, -8, -26), (0, -32, -60), (9, 6)).distance(f))
        paint(hu, np.maximum(solid, skin + 4), TABLE - 50 + 120 * depth)
        right_less = np.where(p.x > 0, 0.35, 0.0) if self._build.asymmetry else 0.0
        mastoid = ellipsoid(f, (56, -44, -40), (12, 15, 18))
        paint(hu, np.maximum(mastoid, skin + 4), TABLE - 350)
        cells = np.maximum(mastoid + 1.5, (0.1 + right_less - depth) * 2)
        paint(hu, cells, AIR + 100)
        canal = Rod((75, -22, -38), (40, -24, -36), (3.6, 3.2)).distance(f)
        paint(hu, canal, AIR)
        sphenoid = ellipsoid(p, (2, 12, -31), (14, 12, 9))
        sphenoid = np.maximum(sphenoid, 0.6 - np.abs(p.x - 2))
        paint(hu, sphenoid, AIR)
        self._frontal_sinus(hu, p)

    def _frontal_sinus(self, hu: HuArray, p: Points) -> None:
        lean = 5.0 if self._build.asymmetry else 0.0
        sinus = ellipsoid(p, (lean, 70, -9), (19, 4.5, 13))
        sinus = np.minimum(sinus, ellipsoid(p, (0, 62, -20), (15, 9, 10)))
        paint(hu, sinus - 1.8, TABLE)
        paint(hu, np.maximum(sinus, 0.6 - np.abs(p.x - 1.5)), AIR)

    # -- inside the cavity --------------------------------------------------

    def _contents(self, hu: HuArray, p: Points, cavity: HuArray, size: HuArray) -> None:
        f = p.folded
        under = anatomy.below_tentorium(f)
        upper = np.flatnonzero(under > -1)
        if len(upper):
            part = hu[upper]
            self._hemispheres(part, p.take(upper), cavity[upper], size[upper], under[upper])
            hu[upper] = part
        lower = np.flatnonzero(under < 1.2)
        if len(lower):
            part = hu[lower]
            self._posterior_fossa(part, p.take(lower), cavity[lower], under[lower])
            hu[lower] = part
        deep = p.within((-46, -72, -24), (46, 40, 40))
        if len(deep):
            part = hu[deep]
            self._deep(part, p.take(deep))
            hu[deep] = part
        self._membranes(hu, p, cavity, under)
        self._vessels(hu, p, cavity)
        if self._bleed is not None:
            radius = self._bleed.radius_mm
            wobble = 0.12 * radius * self._depth.value(p)
            ball = ellipsoid(p, self._bleed.centre_mm, (radius, radius, radius)) + wobble
            paint(hu, np.maximum(ball, cavity + 1), self._bleed.hu)

    def _hemispheres(
        self, hu: HuArray, p: Points, cavity: HuArray, size: HuArray, under: HuArray
    ) -> None:
        """Cortex, white matter and the CSF between the folds."""
        build = self._build
        f = p.folded
        front = 0.5 * build.atrophy * np.clip(p.y / 40, 0, 1)
        depth = single(-cavity - build.gap_mm - front)
        core = anatomy.midline_core(p)
        half = 0.7 + 0.6 * build.atrophy + 0.8 * build.atrophy * np.clip(p.y / 40, 0, 1)
        medial = single(np.where(core > 0, f.x - half, np.float32(30)))
        fissure = self._fold_distance(p, depth, medial, size)
        surface = np.minimum(np.minimum(np.minimum(depth, under - 0.6), medial), fissure)
        surface = np.minimum(surface, anatomy.sylvian(p, build))
        paint(hu, -surface, GREY)
        paint(hu, 4.0 - surface, WHITE, edge=1.1)

    def _fold_distance(self, p: Points, depth: HuArray, medial: HuArray, size: HuArray) -> HuArray:
        """Distance out of the sulci: sheets that run in from the surface."""
        away = np.full_like(depth, 30.0)
        near = np.flatnonzero(np.minimum(depth, medial) < 26)
        q, d, m = p.take(near), depth[near], medial[near]
        scale = np.maximum(size[near], np.float32(0.3))
        wander = 1.5 * np.sin(d * np.float32(0.35) + self._depth.value(q))
        on_shell = Points(
            x=q.x / scale + wander,
            y=(q.y - anatomy.CENTRE[1]) / scale,
            z=(q.z - anatomy.CENTRE[2]) / scale + wander,
        )
        outer = self._folds.sheet_distance(on_shell) * scale
        inner = self._medial_folds.sheet_distance(
            Points(x=q.x * np.float32(0.5), y=q.y + 3 * np.sin(q.x * 0.3), z=q.z + wander)
        )
        variety = np.clip(0.9 + 0.35 * self._depth.value(on_shell), 0.55, 1.25)
        away[near] = np.minimum(self._gap(outer, d, 13 * variety), self._gap(inner, m, 9 * variety))
        return away

    def _gap(self, sheet: HuArray, depth: HuArray, reach: HuArray) -> HuArray:
        """Distance out of a sulcus that closes towards its floor."""
        share = np.clip(1 - depth / np.maximum(reach, 2), 0, 1)
        width = self._build.sulcus_mm * (0.15 + 0.85 * share)
        beyond = np.maximum(depth - reach, 0)
        return single(np.hypot(sheet, beyond) - width)

    def _deep(self, hu: HuArray, p: Points) -> None:
        """White matter core, deep grey matter, ventricles, cisterns."""
        build = self._build
        f = p.folded
        callosum = np.maximum(np.abs(anatomy.midline_core(p) + 2.8) - 2.8, f.x - 14)
        callosum = np.maximum(callosum, 8 - p.z + 0.2 * np.abs(p.y))
        paint(hu, callosum, WHITE)
        paint(hu, np.maximum(anatomy.capsule(f), np.abs(p.z - 6) - 14), WHITE)
        rest = np.maximum(np.maximum(f.x - 16, 6 - f.x), np.abs(p.y + 1) - 22)
        paint(hu, np.maximum(rest, np.abs(p.z + 4) - 8), DEEP_GREY - 2)
        paint(hu, anatomy.thalamus(f), DEEP_GREY - 0.5)
        paint(hu, self._cisterns(p, f), CSF)
        paint(hu, anatomy.third_ventricle(p, build), CSF)
        ventricles = anatomy.lateral_ventricles(p, build)
        caps = np.clip(1 - ventricles / 7, 0, 1) * (hu < WHITE + 3)
        hu -= np.float32(4 * build.atrophy) * caps
        paint(hu, ventricles, CSF)
        paint(hu, anatomy.caudate(f, build), DEEP_GREY + 0.5)
        paint(hu, anatomy.lentiform(f), DEEP_GREY + 0.5)
        paint(hu, ellipsoid(p, (0, -31.5, 9), (2.2, 3.0, 2.6)), CALCIUM)
        plexus = rods(f, (Rod((23.5, -39, 12), (26, -43, 7), (1.6, 1.8)),))
        if build.asymmetry:
            plexus = np.where(p.x > 0, plexus, np.float32(9))
        paint(hu, plexus, CALCIUM)

    def _cisterns(self, p: Points, f: Points) -> HuArray:
        taper = np.clip((p.y + 57) / 24, 0, 1) * np.sqrt(np.clip((-26 - p.y) / 6, 0, 1))
        behind = np.maximum(f.x - 7.5 * taper, np.abs(p.y + 42) - 16)
        behind = np.maximum(behind, np.abs(p.z - 6) - 9)
        wing = Rod((4, -32, 10), (17, -34, 9), (1.6, 0.7)).distance(f)
        chiasm = ellipsoid(p, (0, -4, -17), (11, 12, 6))
        return single(np.minimum(np.minimum(behind, wing), chiasm))

    def _posterior_fossa(self, hu: HuArray, p: Points, cavity: HuArray, under: HuArray) -> None:
        """Cerebellum and brain stem in their cisterns."""
        f = p.folded
        hemisphere = ellipsoid(f, (24, -64, -33), (29, 27, 23))
        vermis = ellipsoid(p, (0, -62, -22), (14, 24, 23))
        lobe = blend_min(hemisphere, vermis, 5)
        limit = np.maximum(cavity + 1.5 + self._build.atrophy, under + 1.2)
        lobe = np.maximum(lobe - 5, limit)
        leaf = np.abs(np.sin(0.55 * (p.z + 0.25 * p.y) + self._folia.value(p)))
        thin = 0.7 * self._build.atrophy * np.clip(1 - leaf * 3, 0, 1)
        clear = np.full_like(hu, CSF)
        paint(hu, under, clear)
        paint(hu, lobe, GREY - 6 * thin)
        core = ellipsoid(f, (20, -58, -34), (16, 14, 12))
        paint(hu, core, WHITE + 3, edge=3.0)
        stem = blend_min(
            ellipsoid(p, (0, -21, -8), (14.5, 11.5, 15)),
            ellipsoid(p, (0, -23, -29), (16, 13, 15)),
            5,
        )
        stem = blend_min(stem, Rod((0, -30, -38), (0, -42, -120), (8.5, 6.5)).distance(p), 6)
        paint(hu, stem, WHITE + 3)
        paint(hu, Rod((22, -42, -30), (12, -28, -29), (7, 7)).distance(f), WHITE + 2)
        fourth = ellipsoid(p, (0, -40, -30), (6 + self._build.atrophy * 2, 4.5, 9))
        paint(hu, fourth, CSF)

    def _membranes(self, hu: HuArray, p: Points, cavity: HuArray, under: HuArray) -> None:
        f = p.folded
        core = anatomy.midline_core(p)
        front = np.where(p.y > 0, 12 + 0.2 * p.y, np.float32(4))
        falx = np.maximum(f.x - 0.9 - 0.5 * np.clip(-p.y / 60, 0, 1), front - core)
        falx = np.maximum(falx, 1 - np.abs(under))
        falx = np.where(under > 0, falx, np.float32(9))
        paint(hu, np.maximum(falx, cavity), DURA)
        tent = np.maximum(np.abs(under) - 0.9, f.y + 30)
        paint(hu, np.maximum(tent, 20 - f.x + 0.0 * core), DURA - 4)

    def _vessels(self, hu: HuArray, p: Points, cavity: HuArray) -> None:
        f = p.folded
        rim = -cavity
        sinus = np.maximum(f.x - np.clip(5.5 - 0.9 * rim, 0, 6), rim - 6)
        sinus = np.maximum(sinus, np.minimum(p.y + 40, 50 - p.z))
        transverse = np.abs(p.z - anatomy.tentorium_height(f)) - 4
        transverse = np.maximum(np.maximum(transverse, rim - 5), f.y + 45)
        straight = Rod((0, -45, 8), (0, -88, -8), (2.2, 2.6)).distance(p)
        basilar = Rod((0, -9, -18), (0, -12, -40), (2.0, 2.0)).distance(p)
        middle = Rod((6, -1, -15), (32, 7, -10), (1.5, 1.3)).distance(f)
        pool = np.minimum.reduce([sinus, transverse, straight, basilar, middle])
        paint(hu, single(pool), self._blood)
