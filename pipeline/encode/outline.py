"""The outline of a region along the edges of its pixels."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from pipeline.arrays import FloatArray, MaskArray

_Corner = tuple[int, int]


def outlines(mask: MaskArray) -> list[FloatArray]:
    """Trace a mask: outer borders clockwise, borders of holes the other way.

    Parameters
    ----------
    mask : numpy.ndarray, shape (row, column), bool

    Returns
    -------
    list of numpy.ndarray, shape (n, 2), float64
        Closed polygons of (column, row); pixel (r, c) reaches from (c, r) to
        (c + 1, r + 1). Pixels that touch at a corner alone are traced apart.

    References
    ----------
    DICOM PS3.3, C.10.5 "Graphic Annotation Module": with PIXEL units the top
    left corner of the top left pixel is 0, 0.

    Examples
    --------
    >>> [line.tolist() for line in outlines(np.array([[False, True, True]]))]
    [[[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0], [1.0, 0.0]]]
    """
    edges = _edges(mask)
    found = []
    for start in sorted(edges):
        while edges[start]:
            found.append(_without_middles(_loop(edges, start)))
    return found


def _edges(mask: MaskArray) -> dict[_Corner, list[_Corner]]:
    """List the pixel edges of the border by where they begin, the region on their right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    # neighbour's place; from which to which corner (row, column) of the pixel
    sides = (
        (padded[:-2, 1:-1], (0, 0), (0, 1)),
        (padded[1:-1, 2:], (0, 1), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (1, 0)),
        (padded[1:-1, :-2], (1, 0), (0, 0)),
    )
    edges: dict[_Corner, list[_Corner]] = defaultdict(list)
    for neighbour, first, last in sides:
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            edges[row + first[0], column + first[1]].append((row + last[0], column + last[1]))
    return edges


def _loop(edges: dict[_Corner, list[_Corner]], start: _Corner) -> list[_Corner]:
    loop = [start, edges[start].pop()]
    while loop[-1] != start:
        before, here = loop[-2:]
        onward = edges[here]
        right_turn = (here[0] + here[1] - before[1], here[1] - here[0] + before[0])
        following = right_turn if right_turn in onward else onward[0]
        onward.remove(following)
        loop.append(following)
    return loop


def _without_middles(loop: list[_Corner]) -> FloatArray:
    """Keep the corners where the line turns; return (column, row)."""
    points = np.array(loop[:-1], dtype=float)
    turns = np.any(
        points - np.roll(points, 1, axis=0) != np.roll(points, -1, axis=0) - points, axis=1
    )
    corners = points[turns][:, ::-1]
    return np.concatenate([corners, corners[:1]])
