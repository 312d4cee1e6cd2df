"""Outlines enclose their pixels, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.arrays import FloatArray, MaskArray
from pipeline.encode.outline import outlines


def filled(lines: list[FloatArray], shape: tuple[int, int]) -> MaskArray:
    """Fill by the even-odd rule: each vertical edge flips the pixels on its right."""
    inside = np.zeros(shape, dtype=bool)
    for line in lines:
        for (column, row), (_, next_row) in pairwise(line):
            first, last = sorted((int(row), int(next_row)))
            inside[first:last, int(column) :] ^= True
    return inside


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_filled_outline_is_the_mask(mask: MaskArray) -> None:
    lines = outlines(mask)
    assert np.array_equal(filled(lines, mask.shape), mask)
    for line in lines:
        assert np.array_equal(line[0], line[-1])
        # a corner where the line goes straight on would be one too many
        steps = np.diff(line, axis=0)
        assert (np.count_nonzero(steps, axis=1) == 1).all()
        assert ((steps[:-1] * steps[1:]).sum(axis=1) == 0).all()


def test_outer_border_runs_clockwise_and_a_hole_the_other_way() -> None:
    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    areas = [
        float(np.sum(line[:-1, 0] * line[1:, 1] - line[1:, 0] * line[:-1, 1]) / 2)
        for line in outlines(ring)
    ]
    # rows run downwards: a positive area is clockwise on the screen
    assert sorted(areas) == [-1.0, 9.0]
