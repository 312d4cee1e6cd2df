"""The result of a series as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from pipeline.regions import REGION_SIDES, Level, RegionSide, Side

NOTES: Final = (
    "The two levels are a template: every slice has to be read.",
    "Supports reading, not for primary diagnosis. No ASPECTS score is computed.",
)
"""What stands beside every result."""

VERDICTS: Final = {
    "pass": "mapping fits",
    "warn": "check the mapping",
    "fail": "failed, do not rely on it",
}


class LevelReport(BaseModel):
    """One of the two levels; slices are 0-based, from inferior to superior."""

    name: str
    index: int
    runner_up: int | None
    margin: float | None
    z_mm: float


class RegionReport(BaseModel):
    """One region, both sides: median density of its tissue in HU, areas in mm².

    The corrected difference is less the one that healthy heads of the atlas
    show; low and high are its 95 % interval.
    """

    number: int
    region: str
    title: str
    level: str
    colour: str
    right_hu: float | None
    left_hu: float | None
    difference_hu: float | None
    corrected_hu: float | None
    low_hu: float | None
    high_hu: float | None
    for_review: bool
    right_mm2: float | None
    left_mm2: float | None


class Report(BaseModel):
    """What was found in a series."""

    levels: list[LevelReport]
    method: str
    distance_mm: float | None
    regions: list[RegionReport]
    verdict: str
    verdict_words: str
    reasons: list[dict[str, str]]
    atlas: str
    algorithms: list[str]
    notes: list[str]


def report_of(result: Mapping[str, Any] | None) -> Report | None:
    """Return what the page shows of ``result.json``; None where nothing was mapped."""
    if result is None or result.get("status") != "done":
        return None
    levels, quality, made = result["levels"], result["quality"], result["provenance"]
    measured = {item["number"]: item for item in result["regions"]}
    return Report(
        levels=[_level(str(level), levels[str(level)]) for level in Level],
        method=levels["method"],
        distance_mm=levels["distance_mm"],
        regions=[_region(item, measured) for item in REGION_SIDES if item.side is Side.RIGHT],
        verdict=quality["verdict"],
        verdict_words=VERDICTS[quality["verdict"]],
        reasons=quality["reasons"],
        atlas=f"{made['atlas_name']} {made['atlas_version']}, {made['age_group']} years",
        algorithms=[f"{item['name']} {item['version']}" for item in made["algorithms"]],
        notes=list(result.get("notes", [])),
    )


def _level(name: str, found: Mapping[str, Any]) -> LevelReport:
    return LevelReport(
        name=name,
        index=found["index"],
        runner_up=found["runner_up_index"],
        margin=found["margin"],
        z_mm=found["position_mm"][2],
    )


def _region(item: RegionSide, measured: Mapping[int, Mapping[str, Any]]) -> RegionReport:
    right, left = (measured.get(item.number + offset, {}) for offset in (0, len(REGION_SIDES) // 2))
    return RegionReport(
        number=item.number,
        region=str(item.region),
        title=item.title.split(",")[0],
        level=str(item.level),
        colour="#{:02x}{:02x}{:02x}".format(*item.rgb),
        right_hu=right.get("tissue_hu_median"),
        left_hu=left.get("tissue_hu_median"),
        difference_hu=right.get("difference_hu"),
        corrected_hu=right.get("corrected_difference_hu"),
        low_hu=right.get("corrected_difference_low_hu"),
        high_hu=right.get("corrected_difference_high_hu"),
        for_review=bool(right.get("for_review") or left.get("for_review")),
        right_mm2=right.get("area_mm2"),
        left_mm2=left.get("area_mm2"),
    )
