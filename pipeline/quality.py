"""Judge whether a mapping may be shown, by similarity and shape, not by overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from pipeline.atlas import AgeChoice, AgeFlag
from pipeline.levels import AspectsLevels, LevelChoice
from pipeline.measure import RegionMeasurement
from pipeline.regions import LEFT_OFFSET, Level
from pipeline.registration import Registration

NCC_WARN: Final = 0.55
NCC_FAIL: Final = 0.40
"""Correlation of slice and warped template inside the brain."""
SD_LOG_JACOBIAN_WARN: Final = 0.35
SD_LOG_JACOBIAN_FAIL: Final = 0.50
SCALE_RANGE: Final = (0.70, 1.35)
ROTATION_DEGREES: Final = 12.0
AREA_RATIO_RANGE: Final = (0.5, 2.0)
MARGIN_WARN: Final = 0.15
OPINIONS_APART_MM: Final = 5.5
"""Thin slices may differ by more than one: over a usual slice is a dispute."""
HYPERDENSE_WARN_ML: Final = 4.5
HYPERDENSE_FAIL_ML: Final = 25.0
"""Largest cluster as dense as blood; falx, sinuses and noise stay below 4 ml."""
VESSEL_PARTS: Final = 9
VESSEL_SHARE_WARN: Final = 0.45
VESSEL_SHARE_FAIL: Final = 0.65
"""Parts, and share of slices, as dense as contrast agent.

On 55 native heads of CT-ICH and one of GE up to 6 parts, and up to 0.42 of the
slices. With a tree of vessels of 150 HU painted into eight of them 13 parts and
0.50 and more, of 200 HU 17 parts and 0.67 and more; of 120 HU 4 are missed.
"""
METAL_WARN_ML: Final = 0.02
"""A clip of 2 x 2 x 5 mm; none of those heads has a voxel of metal."""
STREAK_SHARE_WARN: Final = 0.001
STREAK_SHARE_FAIL: Final = 0.05
"""Of 56 native heads one has any, 0.02: it has air in the skull. Streaks of 200 HU give 0.01
to 0.17 of the depth of the head, of 100 HU 0.0002 to 0.04."""
SKULL_GAP_DEGREES: Final = 12.0
"""Whole skulls stay at 8 or below; two craniectomies showed 16 and 18."""
HALF_TURN_GAIN: Final = 0.05
"""Of 55 heads none lies above -0.06; turned front to back, none under 0.14."""
JITTER_WARN_MM: Final = 1.5
"""Of 55 heads 95 % stay at 1.3 or below."""
DISTANCE_RANGE_MM: Final = (10.0, 32.0)


class Verdict(StrEnum):
    """What a reader should make of the mapping."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReason:
    """One finding against a mapping.

    Attributes
    ----------
    code : str
        Stable, for machines, for example ``"ganglionic-similarity-low"``.
    verdict : Verdict
        WARN or FAIL.
    text : str
        For people, one sentence.
    """

    code: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNumbers:
    """What was measured on the head itself, whatever was mapped.

    Attributes
    ----------
    hyperdense_ml : float
        Size of the largest hyperdense cluster inside the brain.
    vessel_ml, vessel_parts, vessel_share, metal_ml, streak_share
        See `pipeline.foreign_density.ForeignDensity`.
    skull_gap_degrees : float
        Widest angle without bone, on the worse of the two levels.
    jitter_mm : float
        How the skull jumps from slice to slice.
    half_turn_gain : float
        How much better the templates of both levels fit turned by half a
        circle, together.
    """

    hyperdense_ml: float = 0.0
    vessel_ml: float = 0.0
    vessel_parts: int = 0
    vessel_share: float = 0.0
    metal_ml: float = 0.0
    streak_share: float = 0.0
    skull_gap_degrees: float = 0.0
    jitter_mm: float = 0.0
    half_turn_gain: float = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The verdict on a result, its reasons, and the numbers behind it.

    Attributes
    ----------
    verdict : Verdict
        The worst of the reasons'; PASS without any.
    reasons : tuple of QualityReason
    numbers : dict of str to float
        For example ``"ganglionic_ncc"``.
    """

    verdict: Verdict
    reasons: tuple[QualityReason, ...]
    numbers: dict[str, float]


def judge(
    levels: AspectsLevels,
    registrations: Mapping[Level, Registration],
    measurements: Sequence[RegionMeasurement],
    age: AgeChoice,
    *,
    notes: Sequence[str] = (),
    head: HeadNumbers | None = None,
) -> Quality:
    """Judge a mapping.

    Parameters
    ----------
    levels : AspectsLevels
    registrations : mapping of Level to Registration
    measurements : sequence of RegionMeasurement
        All twenty.
    age : AgeChoice
    notes : sequence of str
        Doubts about the series itself; each becomes a warning.
    head : HeadNumbers, optional

    Returns
    -------
    Quality

    Notes
    -----
    Overlap of brain masks is not looked at: it stays high on a wrong level or
    an upside-down slice, where the correlation inside the brain falls.
    """
    reasons = [
        *(reason for level in Level for reason in _registration_reasons(registrations[level])),
        *(reason for level in Level for reason in _level_reasons(levels.get(level))),
        *_distance_reasons(levels),
        *_area_reasons(measurements),
        *_age_reasons(age),
        *_group_reasons(age, registrations),
        *_head_reasons(head or HeadNumbers()),
        *(
            QualityReason(
                code="series", verdict=Verdict.WARN, text=note[:1].upper() + note[1:] + "."
            )
            for note in notes
        ),
    ]
    numbers = _numbers(levels, registrations, head or HeadNumbers())
    found = {reason.verdict for reason in reasons}
    worst = next((item for item in (Verdict.FAIL, Verdict.WARN) if item in found), Verdict.PASS)
    return Quality(verdict=worst, reasons=tuple(reasons), numbers=numbers)


def _numbers(
    levels: AspectsLevels, registrations: Mapping[Level, Registration], head: HeadNumbers
) -> dict[str, float]:
    numbers = {"distance_mm": levels.distance_mm} | asdict(head)
    for level, registration in registrations.items():
        numbers |= {
            f"{level}_ncc": registration.ncc,
            f"{level}_sd_log_jacobian": registration.sd_log_jacobian,
            f"{level}_folds": float(registration.folds),
            f"{level}_scale_along": registration.affine_scale[0],
            f"{level}_scale_across": registration.affine_scale[1],
            f"{level}_rotation_degrees": registration.affine_rotation_degrees,
            f"{level}_midline_degrees": registration.midline.angle_degrees,
            f"{level}_asymmetry_hu": registration.midline.asymmetry,
            f"{level}_margin": levels.get(level).margin,
        }
    return numbers


def _registration_reasons(registration: Registration) -> Iterator[QualityReason]:
    level = registration.level
    # every comparison is written so that a number that is none counts as bad
    if not registration.ncc >= NCC_WARN:
        yield QualityReason(
            code=f"{level}-similarity-low",
            verdict=Verdict.WARN if registration.ncc >= NCC_FAIL else Verdict.FAIL,
            text=f"The {level} slice is not like the atlas (correlation {registration.ncc:.2f}).",
        )
    if registration.folds or not registration.sd_log_jacobian <= SD_LOG_JACOBIAN_WARN:
        bad = not registration.sd_log_jacobian <= SD_LOG_JACOBIAN_FAIL
        yield QualityReason(
            code=f"{level}-deformation-strong",
            verdict=Verdict.FAIL if bad else Verdict.WARN,
            text=f"The atlas had to be bent strongly on the {level} slice.",
        )
    low, high = SCALE_RANGE
    scales_fit = all(low < scale < high for scale in registration.affine_scale)
    if not (scales_fit and abs(registration.affine_rotation_degrees) <= ROTATION_DEGREES):
        yield QualityReason(
            code=f"{level}-pose-unusual",
            verdict=Verdict.FAIL,
            text=f"Size or turn of the {level} slice against the atlas is out of range.",
        )


def _level_reasons(choice: LevelChoice) -> Iterator[QualityReason]:
    if choice.margin < MARGIN_WARN and choice.runner_up_index is not None:
        yield QualityReason(
            code=f"{choice.level}-level-uncertain",
            verdict=Verdict.WARN,
            text=(
                f"The {choice.level} level may as well be slice {choice.runner_up_index + 1} "
                f"instead of {choice.index + 1}."
            ),
        )
    chosen = {index for _, index in choice.opinions}
    if chosen and max(chosen) - min(chosen) > 1 and choice.spread_mm > OPINIONS_APART_MM:
        said = ", ".join(f"{name}: slice {index + 1}" for name, index in choice.opinions)
        by_person = any(name == "person" for name, _ in choice.opinions)
        yield QualityReason(
            code=f"{choice.level}-level-{'unlike-method' if by_person else 'disputed'}",
            verdict=Verdict.WARN,
            text=f"Opinions on the {choice.level} level differ ({said}).",
        )


def _distance_reasons(levels: AspectsLevels) -> Iterator[QualityReason]:
    low, high = DISTANCE_RANGE_MM
    if not low <= levels.distance_mm <= high:
        yield QualityReason(
            code="levels-distance",
            verdict=Verdict.WARN,
            text=f"The two levels are {levels.distance_mm:.0f} mm apart; about 20 mm is usual.",
        )


def _area_reasons(measurements: Sequence[RegionMeasurement]) -> Iterator[QualityReason]:
    by_number = {item.region_side.number: item for item in measurements}
    empty = [item.region_side.name for item in measurements if item.n == 0]
    if empty:
        yield QualityReason(
            code="regions-empty",
            verdict=Verdict.FAIL,
            text=f"No pixel was mapped for {', '.join(empty)}.",
        )
    low, high = AREA_RATIO_RANGE
    for number in range(1, LEFT_OFFSET + 1):
        right, left = by_number[number], by_number[number + LEFT_OFFSET]
        if right.n and left.n and not low <= right.area_mm2 / left.area_mm2 <= high:
            yield QualityReason(
                code="regions-uneven",
                verdict=Verdict.WARN,
                text=f"{right.region_side.region} differs in area from side to side.",
            )


def _head_reasons(head: HeadNumbers) -> Iterator[QualityReason]:
    yield from _hyperdense_reasons(head.hyperdense_ml)
    yield from foreign_reasons(head)
    if head.skull_gap_degrees >= SKULL_GAP_DEGREES:
        yield QualityReason(
            code="skull-open",
            verdict=Verdict.WARN,
            text="The skull is open beside a level: operated, an infant's, or cut off.",
        )
    if not head.half_turn_gain <= HALF_TURN_GAIN:
        yield QualityReason(
            code="upside-down",
            verdict=Verdict.FAIL,
            text="Front and back of the head look exchanged: picture and header disagree.",
        )
    if head.jitter_mm >= JITTER_WARN_MM:
        yield QualityReason(
            code="motion",
            verdict=Verdict.WARN,
            text="The head moves from slice to slice.",
        )


def _hyperdense_reasons(hyperdense_ml: float) -> Iterator[QualityReason]:
    if hyperdense_ml >= HYPERDENSE_WARN_ML:
        large = hyperdense_ml >= HYPERDENSE_FAIL_ML
        yield QualityReason(
            code="hyperdense",
            verdict=Verdict.FAIL if large else Verdict.WARN,
            text=(
                f"{hyperdense_ml:.0f} ml inside the brain are as dense as fresh blood: "
                "ASPECTS is not meant for haemorrhage."
            ),
        )


def foreign_reasons(head: HeadNumbers) -> Iterator[QualityReason]:
    """Yield what speaks of contrast agent, metal and streaks.

    Parameters
    ----------
    head : HeadNumbers
    """
    has_metal = not head.metal_ml < METAL_WARN_ML
    # streaks of metal are as bright as vessels, and as many
    if (
        not has_metal
        and head.vessel_parts >= VESSEL_PARTS
        and head.vessel_share >= VESSEL_SHARE_WARN
    ):
        surely = head.vessel_share >= VESSEL_SHARE_FAIL
        yield QualityReason(
            code="contrast",
            verdict=Verdict.FAIL if surely else Verdict.WARN,
            text="Vessels are as dense as after contrast agent: ASPECTS is read without.",
        )
    if has_metal:
        yield QualityReason(
            code="metal", verdict=Verdict.WARN, text="There is metal in or beside the head."
        )
    if head.streak_share >= STREAK_SHARE_WARN:
        strong = head.streak_share >= STREAK_SHARE_FAIL
        yield QualityReason(
            code="streaks",
            verdict=Verdict.FAIL if strong else Verdict.WARN,
            text="Streaks or air darken the brain on a level: its densities are not to be trusted.",
        )


def _age_reasons(age: AgeChoice) -> Iterator[QualityReason]:
    texts = {
        AgeFlag.UNKNOWN: "The age is not known; the atlas of {group} years was used.",
        AgeFlag.OUT_OF_RANGE: "The age is outside the atlas; that of {group} years was used.",
        AgeFlag.SINGLE_GROUP: "The atlas has one age group only ({group} years).",
    }
    if age.flag is not None:
        yield QualityReason(
            code=age.flag, verdict=Verdict.WARN, text=texts[age.flag].format(group=age.group)
        )


def _group_reasons(
    age: AgeChoice, registrations: Mapping[Level, Registration]
) -> Iterator[QualityReason]:
    for level, registration in registrations.items():
        if registration.age_group is not age.group:
            yield QualityReason(
                code=f"{level}-other-age-group",
                verdict=Verdict.WARN,
                text=(
                    f"The {level} slice is more like the atlas of {registration.age_group} years, "
                    f"which was used, than like that of {age.group} years."
                ),
            )
