"""The sentences of report and picture, written once so that both say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from pipeline.levels import LevelChoice
from pipeline.measure import RegionMeasurement
from pipeline.provenance import Provenance
from pipeline.quality import Quality, QualityReason, Verdict
from pipeline.regions import Side
from pipeline.side_difference import SideDifference

READING_NOTES: Final = (
    "The two levels are a template: every slice has to be read.",
    "Supports reading, not for primary diagnosis. No ASPECTS score was computed.",
)

_FLAGS: Final = {
    "age-out-of-range": "the age lies outside the atlas, the nearest group was taken",
    "age-unknown": "the age is not known, this group was assumed",
    "atlas-has-one-age-group": "the atlas has one age group only",
}


def level_sentence(choice: LevelChoice, slices: int, z_mm: float) -> str:
    """Say which slice was chosen for a level, how surely, and against which.

    Parameters
    ----------
    choice : LevelChoice
    slices : int
        Number of slices of the series.
    z_mm : float
        Of ``ImagePositionPatient`` (0020,0032), LPS.
    """
    words = (
        f"{choice.level.capitalize()} level: slice {choice.index + 1} of {slices}, "
        f"counted from inferior (index {choice.index}), z {z_mm:.1f} mm"
    )
    return f"{words}; {certainty(choice, with_index=True)}."


def certainty(choice: LevelChoice, *, with_index: bool = False) -> str:
    """Say how surely a slice was chosen, and against which.

    Parameters
    ----------
    choice : LevelChoice
    with_index : bool
        For those who write programs: the 0-based index besides.
    """
    if choice.runner_up_index is None:
        return "chosen by a person"
    index = f" (index {choice.runner_up_index})" if with_index else ""
    return f"next best slice {choice.runner_up_index + 1}{index}, margin {choice.margin:.2f}"


def reason_sentence(reason: QualityReason) -> str:
    """Say one finding against the mapping, with its code.

    Examples
    --------
    >>> from pipeline.quality import Verdict
    >>> reason_sentence(QualityReason(code="x-low", verdict=Verdict.WARN, text="X is low."))
    'Quality, warn, x-low: X is low.'
    """
    return f"Quality, {reason.verdict}, {reason.code}: {reason.text}"


def quality_numbers_sentence(quality: Quality) -> tuple[str, ...]:
    """List the numbers behind the verdict; nothing where there are none."""
    if not quality.numbers:
        return ()
    listed = ", ".join(f"{name} {value:.4g}" for name, value in sorted(quality.numbers.items()))
    return (f"Quality numbers: {listed}.",)


def atlas_sentence(provenance: Provenance) -> str:
    """Say which atlas and age group were used, and why if it is a makeshift."""
    words = (
        f"Atlas {provenance.atlas_name} {provenance.atlas_version}, "
        f"age group {provenance.age_group} years"
    )
    if provenance.age_flag is None:
        return f"{words}."
    return f"{words}; {_FLAGS.get(provenance.age_flag, provenance.age_flag)}."


def version_sentences(provenance: Provenance) -> tuple[str, ...]:
    """List every version and hash that decides the result, one sentence each."""
    libraries = ", ".join(f"{key} {value}" for key, value in sorted(provenance.libraries.items()))
    made_by = [
        f"Algorithm {item.name} {item.version}"
        + (f", sha256 {item.sha256}" if item.sha256 else "")
        + "."
        for item in provenance.algorithms
    ]
    return (
        f"aspects-node {provenance.pipeline_version}; input sha256 {provenance.input_sha256}.",
        f"Atlas sha256 {provenance.atlas_sha256}.",
        *made_by,
        *((f"Libraries: {libraries}.",) if libraries else ()),
    )


def review_sentences(measurements: Sequence[RegionMeasurement]) -> tuple[str, ...]:
    """Say what a mark for review means; nothing where nobody asked for marks."""
    asked = next((item.review.limits for item in measurements if item.review is not None), None)
    if asked is None:
        return ()
    return (
        f"For review: at least {asked.difference_hu:g} HU darker than the other side and at most "
        f"{asked.ratio:g} of it, less what the atlas shows, and more than by chance. No finding; "
        "not counted.",
    )


def hu_words(value: float | None, sign: Literal["+", "-"] = "-") -> str:
    """Write a density for a table; a dash where there is none.

    Parameters
    ----------
    value : float or None
        In HU.
    sign : {"+", "-"}
        ``"+"`` writes the sign of positive numbers too.

    Examples
    --------
    >>> hu_words(31.25), hu_words(-1.25, "+"), hu_words(0.0, "+"), hu_words(None)
    ('31.2', '-1.2', '0.0', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    rounded = round(value, 1)
    if rounded == 0:
        return "0.0"
    return f"{rounded:+.1f}" if sign == "+" else f"{rounded:.1f}"


def corrected_words(found: SideDifference | None) -> str:
    """Write a corrected difference with its interval for a table.

    Examples
    --------
    >>> corrected_words(None)
    '–'
    """
    if found is None:
        return "–"
    difference = hu_words(found.corrected_difference_hu, "+")
    if found.interval_hu is None:
        return difference
    low, high = (hu_words(limit, "+") for limit in found.interval_hu)
    return f"{difference} ({low} to {high})"


def mark_words(pair: tuple[RegionMeasurement, RegionMeasurement]) -> str:
    """Name the side that is marked for review; nothing where none is."""
    names = {Side.RIGHT: "right", Side.LEFT: "left"}
    marked = [names[item.region_side.side] for item in pair if item.is_marked]
    return f"{' and '.join(marked)}: for review" if marked else ""


_VERDICTS: Final = {
    Verdict.PASS: "pass",
    Verdict.WARN: "check the mapping",
    Verdict.FAIL: "failed, do not rely on it",
}


def verdict_words(verdict: Verdict) -> str:
    """Say what a reader should make of the mapping."""
    return _VERDICTS[verdict]
