"""Which atlas fits which age."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.atlas import AgeFlag, AgeGroup, Atlas, AtlasSet
from pipeline.regions import Level

YOUNG, MIDDLE, OLDER, OLD = AgeGroup


def _set(*groups: AgeGroup) -> AtlasSet:
    atlases = {
        (group, level): Atlas(
            template=np.zeros((2, 3), np.float32),
            labels=np.zeros((2, 3), np.uint8),
            spacing_mm=(0.5, 0.4),
            level=level,
            age_group=group,
            name="test",
            version="1",
            sha256="",
        )
        for group in groups
        for level in Level
    }
    return AtlasSet(name="test", version="1", licence="MIT", citation="", atlases=atlases)


@pytest.mark.parametrize(
    ("years", "group", "flag"),
    [
        (None, OLDER, AgeFlag.UNKNOWN),
        (0.0, YOUNG, AgeFlag.OUT_OF_RANGE),
        (1.5, YOUNG, AgeFlag.OUT_OF_RANGE),
        (9.99, YOUNG, AgeFlag.OUT_OF_RANGE),
        (10.0, YOUNG, None),
        (29.99, YOUNG, None),
        (30.0, MIDDLE, None),
        (49.5, MIDDLE, None),
        (50.0, OLDER, None),
        (69.9, OLDER, None),
        (70.0, OLD, None),
        (89.9, OLD, None),
        (90.0, OLD, AgeFlag.OUT_OF_RANGE),
        (104.0, OLD, AgeFlag.OUT_OF_RANGE),
    ],
)
def test_age_group(years: float | None, group: AgeGroup, flag: AgeFlag | None) -> None:
    choice = _set(*AgeGroup).for_age(years)
    assert (choice.group, choice.years, choice.flag) == (group, years, flag)


def test_atlas_with_one_age_group() -> None:
    one = _set(MIDDLE)
    assert one.for_age(35.0).flag is None
    assert one.for_age(80.0).group is MIDDLE
    assert one.for_age(80.0).flag is AgeFlag.SINGLE_GROUP
    assert one.for_age(None).flag is AgeFlag.UNKNOWN


def test_group_with_one_level_is_not_offered() -> None:
    whole = _set(YOUNG, OLD)
    part = {key: atlas for key, atlas in whole.atlases.items() if key != (OLD, Level.GANGLIONIC)}
    lacking = AtlasSet(name="test", version="1", licence="MIT", citation="", atlases=part)
    assert lacking.groups == (YOUNG,)
    assert lacking.for_age(75.0).group is YOUNG


def test_arrays_are_read_only() -> None:
    atlas = _set(YOUNG).get(YOUNG, Level.GANGLIONIC)
    with pytest.raises(ValueError, match="read-only"):
        atlas.template[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        atlas.labels[0, 0] = 1
