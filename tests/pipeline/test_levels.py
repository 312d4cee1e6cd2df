"""Both levels, found by the templates alone, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydicom import Dataset

from pipeline.arrays import FloatArray
from pipeline.brain import extract_brain
from pipeline.errors import CoverageError, GeometryError, IncompleteSeriesError
from pipeline.levels import AspectsLevels, find_levels, levels_by_person
from pipeline.midline import align_head
from pipeline.phantom import PhantomSpec, Pose, SliceBlock
from pipeline.regions import Level
from pipeline.series import CtSeries, load_series
from pipeline.template_levels import match_templates
from pipeline.volume import to_volume
from tests.pipeline.heads import HEAD, SMALL, datasets, phantom, stack, tools

QUICK = replace(HEAD, sub_samples=1)


def _blocks(*blocks: SliceBlock) -> PhantomSpec:
    return replace(QUICK, acquisition=replace(SMALL, blocks=blocks))


CASES: dict[str, PhantomSpec] = {
    "20 years": replace(QUICK, age_years=20),
    "60 years": QUICK,
    "80 years": replace(QUICK, age_years=80),
    "tilt 15": replace(QUICK, acquisition=replace(SMALL, gantry_tilt_deg=15.0)),
    "tilt -10": replace(QUICK, acquisition=replace(SMALL, gantry_tilt_deg=-10.0)),
    "turned and small": replace(QUICK, pose=Pose(yaw_deg=-14, roll_deg=4, scale=0.94)),
    "2.5 mm": _blocks(SliceBlock(count=64, thickness_mm=2.5, step_mm=2.5)),
    "8 mm": _blocks(SliceBlock(count=20, thickness_mm=8, step_mm=8)),
    "4 and 7 mm": _blocks(
        SliceBlock(count=14, thickness_mm=4, step_mm=4),
        SliceBlock(count=14, thickness_mm=7, step_mm=7),
    ),
}
THIN = replace(
    _blocks(SliceBlock(count=150, thickness_mm=1, step_mm=1)),
    acquisition=replace(
        SMALL,
        rows=112,
        columns=96,
        pixel_spacing_mm=(2.0, 2.2),
        blocks=(SliceBlock(count=150, thickness_mm=1, step_mm=1),),
    ),
)


def by_templates(images: Sequence[Dataset], years: float) -> AspectsLevels:
    found = load_series(images)
    volume = to_volume(found)
    atlases = tools().atlases
    group = atlases.for_age(years).group
    brain = extract_brain(volume)
    chosen = [atlases.get(group, level) for level in Level]
    return find_levels(found, match_templates(volume, brain, align_head(volume, brain), chosen))


@pytest.mark.parametrize("case", CASES)
def test_found_within_one_slice(case: str) -> None:
    spec = CASES[case]
    found = by_templates(datasets(spec), spec.age_years)
    for level in Level:
        assert abs(found.get(level).index - phantom(spec).levels[level]) <= 1, level
    assert found.method == "template"


def test_found_within_a_usual_slice_on_thin_ones() -> None:
    found = by_templates(datasets(THIN), THIN.age_years)
    for level in Level:
        assert abs(found.get(level).index - phantom(THIN).levels[level]) <= 5, level


@pytest.mark.parametrize("level", Level)
def test_slices_lost_at_a_level(level: Level) -> None:
    images = datasets(QUICK)
    index = phantom(QUICK).levels[level]
    with pytest.raises((IncompleteSeriesError, CoverageError)):
        by_templates([*images[: index - 1], *images[index + 2 :]], 60)


@pytest.mark.parametrize("part", [slice(0, 17), slice(17, 32)])
def test_a_level_outside_the_scan(part: slice) -> None:
    with pytest.raises((CoverageError, IncompleteSeriesError)):
        by_templates(datasets(QUICK)[part], 60)


def even(count: int = 20) -> CtSeries:
    return load_series(stack(count))


def peaks(low: int, high: int, count: int = 20) -> FloatArray:
    at = np.arange(count)
    return np.stack([0.7 * np.exp(-0.5 * (at - where) ** 2) for where in (low, high)])


def test_choice_has_runner_up_margin_and_uid() -> None:
    series = even()
    found = find_levels(series, peaks(8, 12))
    assert (found.ganglionic.index, found.supraganglionic.index) == (8, 12)
    assert found.distance_mm == 20.0
    assert found.ganglionic.sop_instance_uid == series.sop_instance_uids[8]
    assert found.ganglionic.runner_up_index in {7, 9}
    assert 0 < found.ganglionic.margin <= 1
    assert found.ganglionic.opinions == (("template", 8),)


def test_network_outweighs_the_templates() -> None:
    network = np.log(peaks(8, 12) + 1e-6) * 30
    similarity = peaks(9, 13) + 0.3
    found = find_levels(even(), similarity, network)
    assert found.method == "network+template"
    assert dict(found.ganglionic.opinions) == {"network": 8, "template": 9}
    assert found.ganglionic.index == 8


def ending_at(index: int, count: int = 20) -> FloatArray:
    return np.where(np.arange(count) == index, 0.0, np.log(0.05))


def test_the_ventricles_decide_between_two_slices() -> None:
    flat = np.stack([np.exp(-0.5 * (np.arange(20) - where) ** 2) for where in (8, 12.5)])
    network, similarity = np.log(flat + 1e-6), peaks(8, 12)
    for roof in (12, 13):
        found = find_levels(even(), similarity, network, ending_at(roof))
        assert found.method == "network+template+ventricles"
        assert (found.ganglionic.index, found.supraganglionic.index) == (8, roof)
        assert dict(found.supraganglionic.opinions)["ventricles"] == roof
        assert "ventricles" not in dict(found.ganglionic.opinions)


def test_ventricles_that_end_nowhere_have_no_opinion() -> None:
    network = np.log(peaks(8, 12) + 1e-6) * 10
    found = find_levels(even(), peaks(8, 12), network, np.full(20, np.log(0.1)))
    assert [name for name, _ in found.supraganglionic.opinions] == ["network", "template"]


def test_the_network_holds_against_ventricles_that_end_elsewhere() -> None:
    network = np.log(peaks(8, 12) + 1e-6) * 10
    found = find_levels(even(), peaks(8, 12), network, ending_at(14))
    assert found.supraganglionic.index == 12
    assert dict(found.supraganglionic.opinions)["ventricles"] == 14
    assert found.supraganglionic.spread_mm == 10.0


def test_distance_settles_a_tie() -> None:
    similarity = peaks(8, 12)
    similarity[1] = np.maximum(similarity[1], peaks(8, 17)[1])
    assert find_levels(even(), similarity).supraganglionic.index == 12


@pytest.mark.parametrize(("low", "high"), [(0, 4), (15, 19)])
def test_a_level_on_the_last_slice_is_not_inside(low: int, high: int) -> None:
    with pytest.raises(CoverageError):
        find_levels(even(), peaks(low, high))


def test_no_likeness_at_all() -> None:
    with pytest.raises(CoverageError):
        find_levels(even(), peaks(8, 12) * 0.1)


def test_both_levels_on_one_slice() -> None:
    similarity = np.full((2, 20), -1.0)
    similarity[:, 9] = 0.9
    with pytest.raises(CoverageError):
        find_levels(even(), similarity)


@pytest.mark.parametrize("lost", [8, 9, 12, 13])
def test_a_gap_beside_a_level(lost: int) -> None:
    images = [ds for index, ds in enumerate(stack(21)) if index != lost]
    below, above = (8 - (lost <= 8), 12 - (lost <= 12))
    with pytest.raises(IncompleteSeriesError):
        find_levels(load_series(images), peaks(below, above))


def test_a_gap_elsewhere_does_no_harm() -> None:
    images = [ds for index, ds in enumerate(stack(21)) if index != 18]
    assert find_levels(load_series(images), peaks(8, 12)).ganglionic.index == 8


def test_a_persons_choice_is_taken() -> None:
    found = levels_by_person(even(), 3, 9)
    assert (found.ganglionic.index, found.supraganglionic.index) == (3, 9)
    assert found.method == "person"
    assert found.ganglionic.runner_up_index is None
    assert found.distance_mm == 30.0


@pytest.mark.parametrize("both", [(9, 3), (4, 4), (-1, 4), (4, 20)])
def test_a_persons_choice_must_fit(both: tuple[int, int]) -> None:
    with pytest.raises(GeometryError, match="counted from inferior"):
        levels_by_person(even(), *both)
