"""Every reason fires on the failure it is there for, and on no other."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from pipeline.atlas import AgeChoice, AgeFlag, AgeGroup
from pipeline.brain import extract_brain
from pipeline.levels import AspectsLevels, LevelChoice
from pipeline.measure import RegionMeasurement
from pipeline.midline import Midline
from pipeline.quality import Quality, Verdict, judge
from pipeline.regions import REGION_SIDES, Level
from pipeline.registration import Method, Registration, register
from pipeline.volume import to_volume
from tests.pipeline.heads import HEAD, mapped_on_truth, phantom, series, tools

AGE = AgeChoice(group=AgeGroup.AGE_50_69, years=60.0, flag=None)


def registration(level: Level, **changed: Any) -> Registration:
    good = Registration(
        level=level,
        age_group=AgeGroup.AGE_50_69,
        method=Method.GREEDY,
        atlas_pixels=np.zeros((2, 3, 3)),
        ncc=0.8,
        affine_scale=(1.0, 1.0),
        affine_rotation_degrees=1.0,
        sd_log_jacobian=0.15,
        folds=0,
        midline=Midline(angle_degrees=2.0, point=(1.0, 1.0), asymmetry=3.0),
    )
    return replace(good, **changed)


def choice(level: Level, **changed: Any) -> LevelChoice:
    good = LevelChoice(
        level=level,
        index=8 if level is Level.GANGLIONIC else 12,
        sop_instance_uid="1.2.3",
        runner_up_index=9,
        margin=0.6,
        opinions=(("network", 8), ("template", 9)),
    )
    return replace(good, **changed)


def levels(distance_mm: float = 20.0, **changed: Any) -> AspectsLevels:
    return AspectsLevels(
        ganglionic=choice(Level.GANGLIONIC, **changed),
        supraganglionic=choice(Level.SUPRAGANGLIONIC),
        distance_mm=distance_mm,
        method="network+template",
    )


def measurements(**areas: int) -> tuple[RegionMeasurement, ...]:
    return tuple(
        RegionMeasurement(
            region_side=item,
            slice_index=8,
            n=areas.get(item.name.replace(" ", "_"), 100),
            area_mm2=float(areas.get(item.name.replace(" ", "_"), 100)),
            hu_mean=35.0,
            hu_median=35.0,
            hu_sd=3.0,
            tissue_n=90,
            tissue_area_mm2=90.0,
            tissue_hu_mean=35.0,
            tissue_hu_median=35.0,
            tissue_hu_sd=3.0,
            fluid_n=10,
            fluid_area_mm2=10.0,
            dense_n=0,
            dense_area_mm2=0.0,
            noise_hu=3.0,
        )
        for item in REGION_SIDES
    )


def judged(
    *,
    chosen: AspectsLevels | None = None,
    measured: tuple[RegionMeasurement, ...] | None = None,
    age: AgeChoice = AGE,
    notes: tuple[str, ...] = (),
    **ganglionic: Any,
) -> Quality:
    registrations = {
        Level.GANGLIONIC: registration(Level.GANGLIONIC, **ganglionic),
        Level.SUPRAGANGLIONIC: registration(Level.SUPRAGANGLIONIC),
    }
    return judge(
        levels() if chosen is None else chosen,
        registrations,
        measurements() if measured is None else measured,
        age,
        notes=notes,
    )


def codes(quality: Quality) -> dict[str, Verdict]:
    return {reason.code: reason.verdict for reason in quality.reasons}


def test_nothing_wrong_passes() -> None:
    quality = judged()
    assert quality.verdict is Verdict.PASS
    assert quality.reasons == ()
    assert quality.numbers["ganglionic_ncc"] == 0.8
    assert quality.numbers["distance_mm"] == 20.0


WARN, FAIL = Verdict.WARN, Verdict.FAIL


@pytest.mark.parametrize(
    ("changed", "code", "verdict"),
    [
        ({"ncc": 0.45}, "ganglionic-similarity-low", WARN),
        ({"ncc": 0.1}, "ganglionic-similarity-low", FAIL),
        ({"ncc": float("nan")}, "ganglionic-similarity-low", FAIL),
        ({"folds": 3}, "ganglionic-deformation-strong", WARN),
        ({"sd_log_jacobian": 0.4}, "ganglionic-deformation-strong", WARN),
        ({"sd_log_jacobian": 0.6}, "ganglionic-deformation-strong", FAIL),
        ({"sd_log_jacobian": float("nan")}, "ganglionic-deformation-strong", FAIL),
        ({"affine_scale": (1.0, 1.5)}, "ganglionic-pose-unusual", FAIL),
        ({"affine_scale": (0.6, 1.0)}, "ganglionic-pose-unusual", FAIL),
        ({"affine_scale": (float("nan"), 1.0)}, "ganglionic-pose-unusual", FAIL),
        ({"affine_rotation_degrees": -20.0}, "ganglionic-pose-unusual", FAIL),
        ({"affine_rotation_degrees": float("nan")}, "ganglionic-pose-unusual", FAIL),
        ({"chosen": levels(margin=0.05)}, "ganglionic-level-uncertain", WARN),
        (
            {"chosen": levels(opinions=(("network", 8), ("template", 11)), spread_mm=15.0)},
            "ganglionic-level-disputed",
            WARN,
        ),
        ({"chosen": levels(45.0)}, "levels-distance", WARN),
        ({"chosen": levels(5.0)}, "levels-distance", WARN),
        ({"measured": measurements(L_M5=0)}, "regions-empty", FAIL),
        ({"measured": measurements(R_IC=20)}, "regions-uneven", WARN),
        ({"age": replace(AGE, flag=AgeFlag.UNKNOWN)}, "age-unknown", WARN),
        ({"age": replace(AGE, flag=AgeFlag.OUT_OF_RANGE)}, "age-out-of-range", WARN),
        ({"age": replace(AGE, flag=AgeFlag.SINGLE_GROUP)}, "atlas-has-one-age-group", WARN),
        ({"notes": ("slices thicker than 8 mm",)}, "series", WARN),
    ],
)
def test_one_thing_wrong_gives_one_reason(
    changed: dict[str, Any], code: str, verdict: Verdict
) -> None:
    quality = judged(**changed)
    assert codes(quality) == {code: verdict}
    assert quality.verdict is verdict
    assert quality.reasons[0].text.endswith(".")


def test_worst_reason_decides() -> None:
    assert judged(ncc=0.1, chosen=levels(45.0)).verdict is Verdict.FAIL


def test_a_person_who_chose_is_not_doubted() -> None:
    chosen = levels(margin=0.0, runner_up_index=None, opinions=())
    assert judged(chosen=chosen).verdict is Verdict.PASS


@cache
def spoilt(kind: str, level: Level = Level.GANGLIONIC) -> Registration:
    """Register a slice on which something went wrong."""
    volume = to_volume(series(HEAD))
    brain = extract_brain(volume)
    truth = phantom(HEAD).levels[level]
    index = {"wrong level": truth + 8, "far too low": truth - 6}.get(kind, truth)
    hu, mask = volume.voxels[index], brain[index]
    if kind == "upside down":
        hu, mask = hu[::-1], mask[::-1]
    if kind == "truncated":
        mask = mask.copy()
        mask[: mask.shape[0] // 2] = False
    atlases = tools().atlases
    atlas = atlases.get(atlases.for_age(60).group, level)
    return register(hu, mask, volume.pixel_spacing_mm, atlas)


@pytest.mark.parametrize("kind", ["upside down", "wrong level", "far too low", "truncated"])
def test_injected_failures_are_noticed(kind: str) -> None:
    bad = spoilt(kind)
    good = mapped_on_truth(HEAD)
    result = judge(
        good.levels,
        {**good.registrations, Level.GANGLIONIC: bad},
        good.measurements,
        AGE,
    )
    assert result.verdict is not Verdict.PASS
    assert any(reason.code.startswith("ganglionic") for reason in result.reasons)
    assert bad.ncc < good.registrations[Level.GANGLIONIC].ncc - 0.1


def test_the_right_slice_is_not_blamed() -> None:
    assert not [
        reason for reason in mapped_on_truth(HEAD).quality.reasons if reason.verdict is Verdict.FAIL
    ]


def test_thin_slices_within_a_usual_one_are_no_dispute() -> None:
    apart = (("network", 8), ("template", 11))
    for spread_mm, disputed in ((7.5, True), (3.0, False)):
        quality = judged(chosen=levels(opinions=apart, spread_mm=spread_mm))
        assert ("ganglionic-level-disputed" in codes(quality)) is disputed
