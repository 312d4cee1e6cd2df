"""Tables over made-up cases whose answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pipeline.atlas import AgeGroup
from pipeline.evaluation.overlap import RegionScore, State
from pipeline.evaluation.tables import (
    ALL_REGIONS,
    Comparison,
    age_rows,
    agreement,
    compare_dice,
    dice_by_case,
    region_rows,
)
from pipeline.regions import REGION_SIDES, Region, Side

LEVEL_OF = {item.region: item.level for item in REGION_SIDES}


def compared(
    case: str, reader: str, against: str, dsc: float, region: Region = Region.C
) -> Comparison:
    score = RegionScore(
        region=region,
        side=None,
        level=LEVEL_OF[region],
        state=State.SCORED,
        slice_offset=0,
        dsc=dsc,
        surface_dsc=dsc,
        hd95_mm=10 * (1 - dsc),
        msd_mm=1 - dsc,
        area_mm2=100.0,
        reference_mm2=100.0,
        area_ratio=1.0,
        centroid_mm=0.0,
    )
    return Comparison(case=case, reader=reader, against=against, score=score)


def missed(item: Comparison) -> Comparison:
    score = replace(item.score, state=State.MISSED, dsc=0.0, hd95_mm=math.nan, msd_mm=math.nan)
    return replace(item, score=score)


def of_side(item: Comparison, side: Side) -> Comparison:
    return replace(item, score=replace(item.score, side=side))


def test_a_missed_region_lowers_dice_and_leaves_the_distances() -> None:
    rows = region_rows(
        [
            compared("1", "method", "anna", 0.9),
            missed(compared("2", "method", "anna", 0.0)),
            compared("1", "ben", "anna", 0.1),
        ],
        "method",
        "anna",
        seed=1,
    )
    (found,) = (item for item in rows if item.region == Region.C)
    assert found.missed == 1
    assert found.metrics["dsc"].n == 2
    assert found.metrics["dsc"].mean == pytest.approx(0.45)
    assert found.metrics["hd95_mm"].n == 1
    assert found.metrics["hd95_mm"].mean == pytest.approx(1.0)


def test_all_regions_weigh_each_case_once() -> None:
    """A case of which one region was drawn weighs as much as one of which all were."""
    items = [compared("1", "method", "anna", 0.9, region) for region in Region]
    items.append(compared("2", "method", "anna", 0.5, Region.M1))
    rows = region_rows(items, "method", "anna", seed=1)
    (found,) = (item for item in rows if item.region == ALL_REGIONS)
    assert found.metrics["dsc"].n == 2
    assert found.metrics["dsc"].mean == pytest.approx(0.7)


def test_sides_have_rows_of_their_own() -> None:
    both = compared("1", "method", "anna", 0.9)
    rows = region_rows(
        [both, of_side(both, Side.LEFT), of_side(missed(both), Side.RIGHT)], "method", "anna", 1
    )
    means = {item.side: item.metrics["dsc"].mean for item in rows if item.region == Region.C}
    assert means == {None: pytest.approx(0.9), Side.LEFT: pytest.approx(0.9), Side.RIGHT: 0}


def three_readers() -> list[Comparison]:
    pairs = {
        ("method", "anna"): 0.90,
        ("method", "ben"): 0.84,
        ("method", "carla"): 0.81,
        ("ben", "anna"): 0.80,
        ("carla", "anna"): 0.86,
        ("carla", "ben"): 0.83,
    }
    return [
        compared(str(case), one, other, dsc + 0.001 * case)
        for (one, other), dsc in pairs.items()
        for case in range(6)
    ]


def test_every_reader_against_every_other() -> None:
    rows = {
        item.name: item.dsc["C"].mean - 0.0025
        for item in agreement(three_readers(), "method", ["anna", "ben", "carla"], seed=1)
    }
    assert rows == pytest.approx(
        {
            "method – anna": 0.90,
            "method – ben": 0.84,
            "method – carla": 0.81,
            "anna – ben": 0.80,
            "anna – carla": 0.86,
            "ben – carla": 0.83,
            "method – mean of the readers": 0.85,
            "reader – reader, mean": 0.83,
        }
    )


def test_readers_without_a_method() -> None:
    found = agreement(three_readers(), None, ["anna", "ben", "carla"], seed=1)
    assert [item.name for item in found] == ["anna – ben", "anna – carla", "ben – carla"]


def test_a_mean_of_pairs_needs_all_of_them() -> None:
    items = three_readers()[1:]  # the first case lacks method against anna
    values = dice_by_case(items, [("method", "anna"), ("ben", "method")], "C")
    assert sorted(values) == ["1", "2", "3", "4", "5"]
    assert values["1"] == pytest.approx((0.901 + 0.841) / 2)
    assert dice_by_case(items, [], "C") == {}


def test_paired_tests_find_a_difference_and_no_other() -> None:
    items = []
    for case in range(12):
        wobble = 0.004 * (case % 3 - 1)
        for region in Region:
            better = 0.05 if region is Region.IC else 0.0
            items.append(compared(str(case), "method", "anna", 0.8 + better + wobble, region))
            items.append(compared(str(case), "ben", "anna", 0.8 + 0.003 * (case % 2 - 0.5), region))
    found = compare_dice(items, [("method", "anna")], [("ben", "anna")], seed=1)
    assert found["IC"].difference == pytest.approx(0.05)
    assert found["IC"].holm_wilcoxon == pytest.approx(10 * found["IC"].p_wilcoxon)
    assert found["IC"].holm_wilcoxon < 0.05 < found["C"].holm_wilcoxon
    assert found[ALL_REGIONS].holm_t == found[ALL_REGIONS].p_t
    assert list(found) == [*Region, ALL_REGIONS]


def test_age_of_the_case_by_age_of_the_atlas() -> None:
    young, old = AgeGroup.AGE_30_49, AgeGroup.AGE_70_89
    expected = {
        (young, young): 0.93,
        (young, old): 0.82,
        (old, young): 0.79,
        (old, old): 0.91,
    }
    group_of = {"a": young, "b": old}
    by_atlas = {
        atlas: [
            compared(case, "method", "anna", expected[group, atlas])
            for case, group in group_of.items()
        ]
        for atlas in (young, old)
    }
    found = age_rows(by_atlas, group_of, seed=1)
    assert {(item.cases, item.atlas): item.dsc["C"].mean for item in found} == expected
    assert all(item.dsc["C"].n == 1 for item in found)
