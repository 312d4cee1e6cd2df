"""Which ASPECTS region a point of the phantom's head belongs to: the truth.

A region is a function of the point, so it has no voxel size. The outlines on
each level are those that readers draw: nuclei by their own shape, the cortical
regions between the brain's surface and a line in the white matter.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline import phantom_anatomy as anatomy
from pipeline.arrays import HuArray, LabelArray, MaskArray
from pipeline.phantom_anatomy import Build
from pipeline.phantom_shapes import Points, single
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level, Region, Side

# y, then x of the medial border of the cortical regions, mm
_GANGLIONIC_BORDER: Final = (
    (-71.0, -59.5, -45.0, -33.0, -22.0, 29.0, 36.0, 42.0, 58.0),
    (48.0, 34.7, 37.0, 39.8, 38.0, 27.5, 24.5, 25.0, 31.7),
)
_SUPRAGANGLIONIC_BORDER: Final = (
    (-71.0, -61.0, -49.0, -33.0, -22.0, -8.0, 11.5, 20.0, 33.0, 50.0),
    (44.0, 35.7, 34.1, 39.0, 37.0, 36.7, 34.1, 29.7, 22.7, 33.7),
)
_CAPSULE_OUT_MM: Final = 1.5
"""Thickness of the extreme and external capsules between lentiform and insula."""


def number_of(region: Region, side: Side) -> int:
    """Return the label value of one region of one side.

    Examples
    --------
    >>> number_of(Region.M1, Side.LEFT)
    15
    """
    return next(item.number for item in REGION_SIDES if item.region is region and item.side is side)


def region_labels(points: Points, level: Level, build: Build) -> LabelArray:
    """Return the label value of each point, as read on one level.

    Parameters
    ----------
    points : Points
        Head frame; any height, so that a tilted slice through the level has
        its regions too.
    level : Level
    build : Build

    Returns
    -------
    numpy.ndarray, shape (n,), uint8
        1-10 right, 11-20 left, 0 outside the regions.
    """
    labels = np.zeros(points.x.shape, dtype=np.uint8)
    size = anatomy.vault_size(anatomy.with_petalia(points, build))
    surface = anatomy.cavity(points, anatomy.vault(points, size)) + build.gap_mm
    brain = (surface < 0) & (anatomy.below_tentorium(points.folded) > 0)
    draw = _ganglionic if level is Level.GANGLIONIC else _supraganglionic
    for region, mask in draw(points, build):
        labels[mask & brain & (labels == 0)] = number_of(region, Side.RIGHT)
    labels[(labels > 0) & (points.x < 0)] += LEFT_OFFSET
    return labels


def _ganglionic(points: Points, build: Build) -> tuple[tuple[Region, MaskArray], ...]:
    """Regions in the order in which they take their points."""
    f = points.folded
    lentiform = anatomy.lentiform(f)
    open_space = np.minimum(
        anatomy.lateral_ventricles(points, build), anatomy.sylvian(points, build)
    )
    caudate = anatomy.caudate(f, build) < 0
    tissue = open_space > 0
    edge = anatomy.insula_surface(f)
    insula = (f.x < edge) & (f.x > edge - 10) & (lentiform > _CAPSULE_OUT_MM)
    insula &= (anatomy.insula_reach(f) < 0) & (f.y > -23)
    outside = np.where(_inside(f.y, -23, 28), edge, _border(f, _GANGLIONIC_BORDER))
    cortex = (f.x > outside) & _inside(f.y, -71, 58) & tissue
    front = 19 - 0.12 * (f.x - 45)
    return (
        (Region.C, caudate),
        (Region.L, lentiform < 0),
        (Region.IC, tissue & (anatomy.capsule(f) < 0) & (anatomy.thalamus(f) > 0)),
        (Region.I, insula & tissue),
        (Region.M1, cortex & (f.y >= front)),
        (Region.M2, cortex & (f.y < front) & (f.y >= -33)),
        (Region.M3, cortex & (f.y < -33)),
    )


def _supraganglionic(points: Points, build: Build) -> tuple[tuple[Region, MaskArray], ...]:
    """Regions in the order in which they take their points."""
    del build
    f = points.folded
    cortex = (f.x > _border(f, _SUPRAGANGLIONIC_BORDER)) & _inside(f.y, -71, 50)
    return (
        (Region.M4, cortex & (f.y >= 11.5)),
        (Region.M5, cortex & (f.y < 11.5) & (f.y >= -32)),
        (Region.M6, cortex & (f.y < -32)),
    )


def _border(f: Points, line: tuple[tuple[float, ...], tuple[float, ...]]) -> HuArray:
    return single(np.interp(f.y, *line))


def _inside(values: HuArray, low: float, high: float) -> MaskArray:
    return np.asarray((values > low) & (values < high))
