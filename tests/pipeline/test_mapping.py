"""Labels carried over: inside the brain, on their side, tissue apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.atlas import AgeGroup, Atlas
from pipeline.mapping import TISSUE_HU, LevelMap, map_labels, split_tissue
from pipeline.midline import Midline
from pipeline.regions import Level
from pipeline.registration import Method, Registration


def _atlas() -> Atlas:
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[10:20, 5:15] = 5
    labels[20:30, 5:15] = 6
    labels[10:20, 25:35] = 15
    return Atlas(
        template=np.full((40, 40), 30.0, dtype=np.float32),
        labels=labels,
        spacing_mm=(1.0, 1.0),
        level=Level.GANGLIONIC,
        age_group=AgeGroup.AGE_50_69,
        name="test",
        version="1",
        sha256="0",
    )


def _identity(shift: tuple[float, float] = (0, 0)) -> Registration:
    grid = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0), indexing="ij"))
    return Registration(
        level=Level.GANGLIONIC,
        age_group=AgeGroup.AGE_50_69,
        method=Method.GREEDY,
        atlas_pixels=grid + np.array(shift)[:, None, None],
        ncc=1.0,
        affine_scale=(1.0, 1.0),
        affine_rotation_degrees=0.0,
        sd_log_jacobian=0.0,
        folds=0,
        midline=Midline(angle_degrees=0.0, point=(20.0, 20.0), asymmetry=0.0),
    )


ALL = np.ones((40, 40), dtype=bool)


def test_identity_changes_nothing() -> None:
    assert (map_labels(_atlas(), _identity(), ALL) == _atlas().labels).all()


def test_a_shift_moves_the_labels_the_other_way() -> None:
    moved = map_labels(_atlas(), _identity((3, -2)), ALL)
    assert (moved == np.roll(_atlas().labels, (-3, 2), (0, 1))).all()


def test_no_label_outside_the_brain_or_the_atlas() -> None:
    brain = ALL.copy()
    brain[:, :10] = False
    moved = map_labels(_atlas(), _identity(), brain)
    assert not moved[:, :10].any()
    assert not map_labels(_atlas(), _identity((-1e4, -1e4)), ALL).any()


def test_side_comes_with_the_label_even_across_the_middle() -> None:
    moved = map_labels(_atlas(), _identity((0, 12)), ALL)
    # the left region now lies in the right half, and is still the left one
    assert (moved[10:20, 13:23] == 15).all()


def test_neighbours_leave_no_seam() -> None:
    moved = map_labels(_atlas(), _identity((0.4, 0.0)), ALL)
    assert (moved[11:28, 6:14] > 0).all()


def test_small_stray_parts_are_dropped() -> None:
    labels = _atlas().labels.copy()
    labels[35, 35] = 5
    assert map_labels(replace(_atlas(), labels=labels), _identity(), ALL)[35, 35] == 0


def test_labels_of_the_other_level_are_not_moved() -> None:
    labels = _atlas().labels.copy()
    labels[32:38, 5:15] = 8
    assert not (map_labels(replace(_atlas(), labels=labels), _identity(), ALL) == 8).any()


@pytest.mark.parametrize(("hu", "kept"), [(30, True), (8, False), (120, False), (24, True)])
def test_tissue_leaves_out_csf_and_calcification(hu: float, kept: bool) -> None:
    plane = np.full((40, 40), hu, dtype=np.float32)
    labels = _atlas().labels
    found, dense = split_tissue(labels, plane, (0.5, 0.4))
    assert found.dtype == dense.dtype == np.uint8
    assert (found == (labels if kept else 0)).all()
    assert (dense == (labels if hu > TISSUE_HU[1] else 0)).all()
    assert kept == (TISSUE_HU[0] <= hu <= TISSUE_HU[1])


def test_maps_cannot_be_changed() -> None:
    labels = _atlas().labels.copy()
    none = np.zeros_like(labels)
    found = LevelMap(
        level=Level.GANGLIONIC, slice_index=1, labels=labels, tissue=labels.copy(), dense=none
    )
    with pytest.raises(ValueError, match="read-only"):
        found.labels[0, 0] = 1
