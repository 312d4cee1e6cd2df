"""Voxel indices and patient space, against a second, plain calculation."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.geometry import InPlaneView, in_plane_view, pixel_affine, slice_normal

SIGNED_AXES = [
    np.eye(3)[list(order)] * np.array(signs)[:, None]
    for order in permutations((0, 1))
    for signs in product((1, -1), repeat=2)
]


@pytest.mark.parametrize("axes", SIGNED_AXES)
@pytest.mark.parametrize("turn", [-40, -10, 0, 25])
def test_view_runs_to_left_and_to_back(axes: np.ndarray, turn: float) -> None:
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    iop = (axes @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])).ravel()
    view = in_plane_view(iop)
    affine = pixel_affine((1, 2, 3), iop, (0.5, 0.4))
    rows, columns = np.mgrid[:5, :4].astype(float)
    where = np.einsum("ij,jrc->irc", affine, np.stack((rows, columns, np.ones((5, 4)))))
    turned = view.apply(where)
    down = turned[:, 1, 0] - turned[:, 0, 0]
    across = turned[:, 0, 1] - turned[:, 0, 0]
    # not more than 45 degrees away from to-the-back and to-the-left
    assert down[1] >= np.hypot(down[0], down[2]) - 1e-9
    assert across[0] >= np.hypot(across[1], across[2]) - 1e-9
    assert view.spacing((0.5, 0.4)) == pytest.approx((np.linalg.norm(down), np.linalg.norm(across)))


@given(
    transpose=st.booleans(),
    flip_rows=st.booleans(),
    flip_columns=st.booleans(),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
)
def test_undo_is_the_inverse(
    transpose: bool, flip_rows: bool, flip_columns: bool, shape: tuple[int, int, int]
) -> None:
    view = InPlaneView(transpose=transpose, flip_rows=flip_rows, flip_columns=flip_columns)
    array = np.arange(np.prod(shape)).reshape(shape)
    assert (view.undo(view.apply(array)) == array).all()


@given(
    position=st.tuples(*[st.floats(-500, 500)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 3)] * 2),
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    pixel=st.tuples(st.integers(0, 511), st.integers(0, 511)),
)
def test_affine_is_the_standards_sum(
    position: tuple[float, ...],
    spacing: tuple[float, float],
    angles: tuple[float, ...],
    pixel: tuple[int, int],
) -> None:
    axes = np.linalg.qr(np.vander(np.cos(angles), 3) + np.eye(3))[0]
    iop = axes[:2].ravel()
    found = pixel_affine(position, iop, spacing) @ (*pixel, 1)
    for axis in range(3):
        expected = position[axis]
        expected += iop[axis] * spacing[1] * pixel[1]
        expected += iop[3 + axis] * spacing[0] * pixel[0]
        assert found[axis] == pytest.approx(expected, abs=1e-6)
    normal = slice_normal(iop)
    assert abs(normal @ iop[:3]) < 1e-9
    assert abs(normal @ iop[3:]) < 1e-9
    assert np.linalg.det(np.stack((axes[0], axes[1], normal))) == pytest.approx(1)
