"""Simulated patients: known regions, one-sided lesions, and what evening out is worth."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.atlas import AgeGroup, Atlas
from pipeline.evened import one_sided_fall
from pipeline.head_frame import framed, framed_atlas
from pipeline.mapping import map_labels
from pipeline.midline import Midline
from pipeline.multi_start import FIRST_START, register_best
from pipeline.patient_trial import mean_dice
from pipeline.regions import LEFT_OFFSET, Level
from pipeline.simulated_patient import SimulatedPatient, simulate_patient
from tests.pipeline.heads import tools


def _atlas(group: AgeGroup, level: Level = Level.GANGLIONIC) -> Atlas:
    return tools().atlases.get(group, level)


def _patient(seed: int = 5, level: Level = Level.GANGLIONIC) -> SimulatedPatient:
    return simulate_patient(_atlas(AgeGroup.AGE_50_69, level), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(4))
def test_a_lesion_lies_in_regions_of_one_side_and_nothing_else_changes(seed: int) -> None:
    patient = _patient(seed)
    assert len({number > LEFT_OFFSET for number in patient.lesioned}) == 1
    assert 4 <= patient.drop_hu <= 10
    fall = patient.healthy - patient.ischaemic
    lesion = np.isin(patient.labels, patient.lesioned)
    other = (patient.labels > 0) & ~lesion
    assert fall[lesion].mean() > 0.5 * patient.drop_hu
    assert fall[other].mean() < 0.1 * patient.drop_hu
    assert fall.min() >= 0


def test_the_midline_divides_the_regions() -> None:
    patient = _patient()
    to_head = patient.midline.to_pixels(_atlas(AgeGroup.AGE_50_69).spacing_mm)
    places = np.argwhere(patient.labels > 0)
    across = ((places - to_head[:, 2]) @ np.linalg.inv(to_head[:, :2]).T)[:, 1]
    left = patient.labels[tuple(places.T)] > LEFT_OFFSET
    assert ((across > 0) == left).mean() > 0.99


def test_same_seed_same_patient() -> None:
    assert (_patient().ischaemic == _patient().ischaemic).all()


@pytest.mark.parametrize("level", Level)
def test_an_infarct_costs_little(level: Level) -> None:
    source, atlas = _atlas(AgeGroup.AGE_50_69, level), _atlas(AgeGroup.AGE_30_49, level)
    drops = []
    for seed in range(2):
        patient = _patient(seed, level)
        healthy, ischaemic = (
            mean_dice(
                map_labels(
                    atlas,
                    register_best(
                        hu, patient.brain, source.spacing_mm, [atlas], midline=patient.midline
                    ).registration,
                    patient.brain,
                ),
                patient.labels,
            )
            for hu in (patient.healthy, patient.ischaemic)
        )
        assert healthy > 0.75
        drops.append(healthy - ischaemic)
    assert np.mean(drops) < 0.015


def test_the_fall_of_density_is_found_on_the_darker_side() -> None:
    atlas = _atlas(AgeGroup.AGE_50_69)
    own = framed_atlas(atlas)
    lesion = np.isin(atlas.labels, (5, 6))
    darker = np.where(lesion, atlas.template - 8, atlas.template).astype(np.float32)
    brain = np.asarray(atlas.template > 0)
    midline = _midline_of(atlas)
    points = np.stack(np.meshgrid(*map(np.arange, own.hu.shape), indexing="ij")).astype(float)
    points -= (np.array(own.hu.shape) // 2)[:, None, None]
    falls = [
        one_sided_fall(
            framed(hu, brain, atlas.spacing_mm, midline), own, points, np.eye(2), np.zeros(2)
        )
        for hu in (atlas.template, darker)
    ]
    assert falls[0][1] < 200
    fall_hu, area_mm2 = falls[1]
    lesion_mm2 = lesion.sum() * atlas.spacing_mm[0] * atlas.spacing_mm[1]
    assert 0.5 * lesion_mm2 < area_mm2 < 2 * lesion_mm2
    right, left = np.array_split(fall_hu, 2, axis=1)
    assert right.sum() > 10 * left.sum()
    assert 4 < fall_hu.max() < 10


def _midline_of(atlas: Atlas) -> Midline:
    to_pixels = framed_atlas(atlas).to_pixels
    down = to_pixels[:, 0] * np.asarray(atlas.spacing_mm)
    return Midline(
        angle_degrees=float(np.degrees(np.arctan2(-down[1], down[0]))),
        point=(float(to_pixels[0, 2]), float(to_pixels[1, 2])),
        asymmetry=0.0,
    )


def test_a_misleading_midline_is_replaced_where_another_start_fits_better() -> None:
    source, atlas = (_atlas(group) for group in (AgeGroup.AGE_50_69, AgeGroup.AGE_30_49))
    patient = _patient()
    wrong = Midline(
        angle_degrees=patient.midline.angle_degrees + 80,
        point=patient.midline.point,
        asymmetry=0.0,
    )
    fits = [
        register_best(patient.healthy, patient.brain, source.spacing_mm, [atlas], midline=midline)
        for midline in (patient.midline, wrong)
    ]
    assert fits[0].start == FIRST_START
    assert fits[1].start != FIRST_START
    assert fits[1].registration.ncc > fits[0].registration.ncc - 0.05


def test_another_age_group_takes_over_only_where_the_first_fits_poorly() -> None:
    source = _atlas(AgeGroup.AGE_50_69)
    brain = np.asarray(source.template > 0)
    midline = _midline_of(source)
    near = [_atlas(AgeGroup.AGE_70_89), source]
    fit = register_best(source.template, brain, source.spacing_mm, near, midline=midline)
    assert fit.atlas is near[0]
    # an atlas of noise fits nothing
    noise = Atlas(
        template=np.random.default_rng(0).uniform(20, 40, source.template.shape).astype(np.float32)
        * brain,
        labels=np.array(source.labels),
        spacing_mm=source.spacing_mm,
        level=source.level,
        age_group=AgeGroup.AGE_30_49,
        name="noise",
        version="1",
        sha256="0" * 64,
    )
    fit = register_best(source.template, brain, source.spacing_mm, [noise, source], midline=midline)
    assert fit.atlas is source
    assert fit.start == "age group 50-69"
