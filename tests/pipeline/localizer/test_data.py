from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.localizer.data import FOLDS, LabelledHead, fold_of, read_heads
from pipeline.localizer.evaluate import between_readers, summarise


@pytest.fixture(scope="module")
def heads(shared_data: Path) -> tuple[LabelledHead, ...]:
    return read_heads(shared_data / "ct-ich")


def test_every_head_is_read_the_right_way_up(heads: tuple[LabelledHead, ...]) -> None:
    assert len(heads) == 55
    for head in heads:
        assert head.voxels.shape == (len(head.distances_mm), 256, 256)
        low, high = head.nearest()
        assert head.levels_mm[1] - head.levels_mm[0] in {10, 15, 20, 25}
        # there is more bone and air near the base than near the vertex
        assert (head.voxels[0] > 300).any()
        assert 0 < low < high < len(head.voxels)


def test_targets_lie_between_readers_who_disagree(heads: tuple[LabelledHead, ...]) -> None:
    by_name = {head.name: head for head in heads}
    assert by_name["049"].targets_mm == by_name["049"].levels_mm
    # readers said 20 and 21, the third reading 20
    assert by_name["058"].targets_mm[0] == pytest.approx(20.25 * 5)


def test_one_patient_is_in_one_fold(heads: tuple[LabelledHead, ...]) -> None:
    folds = fold_of([head.patient for head in heads])
    by_name = {head.name: folds[head.patient] for head in heads}
    assert by_name["069"] == by_name["072"]
    sizes = Counter(by_name.values())
    assert set(sizes) == set(range(FOLDS))
    assert max(sizes.values()) - min(sizes.values()) <= 2


def test_folds_do_not_depend_on_the_order() -> None:
    names = [f"{k:03d}" for k in range(40)]
    assert fold_of(names) == fold_of(names[::-1])
    assert fold_of(names, seed=1) != fold_of(names, seed=2)


def test_readers_agree_as_counted_by_hand(heads: tuple[LabelledHead, ...]) -> None:
    pairs = between_readers(heads)["B against A"]
    same = np.mean([a == b for head in heads for (a, _), (b, _) in [head.readings]])
    assert summarise(pairs, 0).exact == pytest.approx(same)
    assert summarise(pairs, 0).within_one == 1


def test_without_labels_there_are_no_heads(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_heads(tmp_path)
