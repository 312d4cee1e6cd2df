"""Fuse many region drawings into one: each votes, the majority wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from atlases.lateralise import lateralise
from pipeline.arrays import FloatArray, LabelArray
from pipeline.atlas import Atlas
from pipeline.regions import LEFT_OFFSET, Level, Side, at_level
from pipeline.registration import register
from pipeline.registration_grid import grid_index
from pipeline.registration_pairs import Upright

Votes = Mapping[int, FloatArray]
"""For each region (1-10, both sides alike) the share of drawings, shape (row, column)."""


def votes_of_atlases(template: Upright, atlases: Sequence[Atlas]) -> Votes:
    """Register the atlases of one level to a template and let each vote."""
    spacing_mm = (template.grid_mm, template.grid_mm)
    where = [
        register(template.hu, template.brain, spacing_mm, atlas).atlas_pixels for atlas in atlases
    ]
    drawings = [one_sided(atlas.labels) for atlas in atlases]
    return _votes(atlases[0].level, drawings, where)


def votes_of_subjects(
    level: Level, regions: Sequence[LabelArray], points_mm: Iterable[FloatArray], grid_mm: float
) -> Votes:
    """Carry the drawings of subjects to the template and let each vote.

    Parameters
    ----------
    level : Level
    regions : sequence of numpy.ndarray, shape (row, column), uint8
        1-10, on the grid that all pictures share.
    points_mm : iterable of numpy.ndarray, shape (2, row, column)
        Where each pixel of the template lies in each subject.
    grid_mm : float
    """
    where = [grid_index(points, regions[0].shape, grid_mm) for points in points_mm]
    return _votes(level, regions, where)


def majority(votes: Votes) -> LabelArray:
    """Give each pixel the region that most drawings vote for, or none.

    Small parts that lie apart from a region are dropped.

    Returns
    -------
    numpy.ndarray, shape (row, column), uint8
        1-10, both sides alike, symmetric about the middle column in meaning
        only.

    Examples
    --------
    >>> shares = {3: np.array([[0.2, 0.6, 0.6, 0.2]]), 4: np.array([[0.1, 0.3, 0.4, 0.0]])}
    >>> majority(shares).tolist()
    [[0, 3, 3, 0]]
    """
    numbers = np.array([0, *votes], dtype=np.uint8)
    shares = np.stack([1.0 - np.sum(list(votes.values()), axis=0), *votes.values()])
    labels = numbers[np.argmax(shares, axis=0)]
    return one_sided(lateralise(labels, (labels.shape[1] - 1) / 2))


def one_sided(labels: LabelArray) -> LabelArray:
    """Give both sides of a region the number of the right one."""
    return np.where(labels > LEFT_OFFSET, labels - LEFT_OFFSET, labels).astype(np.uint8)


def _votes(level: Level, drawings: Sequence[LabelArray], where: Sequence[FloatArray]) -> Votes:
    return {
        item.number: np.mean(
            [
                ndimage.map_coordinates((drawing == item.number).astype(np.float32), index, order=1)
                for drawing, index in zip(drawings, where, strict=True)
            ],
            axis=0,
        )
        for item in at_level(level)
        if item.side is Side.RIGHT
    }
