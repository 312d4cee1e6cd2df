"""Raise what is darker on one side to the other side's density, before bending.

An infarct makes edges that the atlas does not have; a deformation that follows
them is wrong. The other side, found through a first mapping, tells how dense
the tissue would be. Only the registration sees the evened picture.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray
from pipeline.head_frame import FRAME_MM, Framed, frame_index

_STRIDE: Final = 2
_TISSUE_HU: Final = (18.0, 50.0)  # CSF and blood differ from side to side for other reasons
_SMOOTH_MM: Final = 3.0
_NOISE_MM: Final = 1.0
_FROM_HU: Final = 1.5
_FULLY_HU: Final = 3.0
_MIN_SUPPORT: Final = 0.15
_INVERSE_STEPS: Final = 5
_COUNTS_HU: Final = 1.0


def one_sided_fall(
    fixed: Framed, moving: Framed, template_mm: FloatArray, matrix: FloatArray, offset: FloatArray
) -> tuple[HuArray, float]:
    """Find how much darker the tissue is than the same place on the other side.

    Parameters
    ----------
    fixed : Framed
        The slice.
    moving : Framed
        The template; its own difference between the sides does not count.
    template_mm : numpy.ndarray, shape (2, down, across), float64
        Where each grid point of the slice lies in the template's frame, mm.
    matrix : numpy.ndarray, shape (2, 2)
    offset : numpy.ndarray, shape (2,)
        The affine part of that map.

    Returns
    -------
    fall_hu : numpy.ndarray, shape (down, across), float32
        Not negative; 0 where the sides differ by less than 1.5 HU (3 HU count
        in full), outside the brain, and in CSF.
    area_mm2 : float
        Where it is more than 1 HU.

    Notes
    -----
    "The same place" is the mirror image in the template, which is nearly
    symmetric, not in the patient, who is not. The idea is that of enantiomorphic
    normalisation (Nachev et al., NeuroImage 39, 2008), with smooth density
    instead of voxels taken over, so that no anatomy crosses the midline.
    """
    here_mm = template_mm[:, ::_STRIDE, ::_STRIDE]
    there_mm = np.stack((here_mm[0], -here_mm[1]))
    opposite = _inverse(template_mm, there_mm, matrix, offset)
    slice_hu = ndimage.gaussian_filter(fixed.hu, _NOISE_MM / FRAME_MM)
    template_hu = ndimage.gaussian_filter(moving.hu, _NOISE_MM / FRAME_MM)
    own = slice_hu[::_STRIDE, ::_STRIDE]
    other = _at(slice_hu, opposite)
    usual_own, usual_other = _at(template_hu, here_mm), _at(template_hu, there_mm)
    tissue = fixed.brain[::_STRIDE, ::_STRIDE].copy()
    for hu in (own, other, usual_own, usual_other):
        tissue &= (hu > _TISSUE_HU[0]) & (hu < _TISSUE_HU[1])
    difference = np.where(tissue, (other - own) - (usual_other - usual_own), 0.0)
    sigma = _SMOOTH_MM / FRAME_MM / _STRIDE
    support = ndimage.gaussian_filter(tissue.astype(float), sigma)
    smooth = ndimage.gaussian_filter(difference, sigma) / np.maximum(support, _MIN_SUPPORT)
    fall = smooth * np.clip((smooth - _FROM_HU) / (_FULLY_HU - _FROM_HU), 0, 1)
    area_mm2 = float((fall > _COUNTS_HU).sum()) * (_STRIDE * FRAME_MM) ** 2
    return _on_frame(fall, fixed, slice_hu), area_mm2


def _on_frame(fall: FloatArray, fixed: Framed, slice_hu: HuArray) -> HuArray:
    places = np.stack(
        np.meshgrid(*(np.arange(size) / _STRIDE for size in fixed.hu.shape), indexing="ij")
    )
    full = ndimage.map_coordinates(fall, places, order=1, mode="nearest")
    inside = fixed.brain & (slice_hu > _TISSUE_HU[0])
    return np.where(inside, full, 0.0).astype(np.float32)


def _at(picture: FloatArray | HuArray, points_mm: FloatArray) -> FloatArray:
    found = ndimage.map_coordinates(picture, frame_index(points_mm), order=1, mode="nearest")
    return np.asarray(found, dtype=float)


def _inverse(
    template_mm: FloatArray, wanted_mm: FloatArray, matrix: FloatArray, offset: FloatArray
) -> FloatArray:
    """Find the points of the slice that lie at the wanted points of the template."""
    back = np.linalg.inv(matrix)
    points = np.einsum("ij,jrc->irc", back, wanted_mm - offset[:, None, None])
    for _ in range(_INVERSE_STEPS):
        reached = np.stack([_at(plane, points) for plane in template_mm])
        points = points - np.einsum("ij,jrc->irc", back, reached - wanted_mm)
    return np.asarray(points)
