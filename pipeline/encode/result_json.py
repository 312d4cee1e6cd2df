"""Write the result as plain values for ``result.json``; nothing that names the patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from pipeline.levels import AspectsLevels, LevelChoice
from pipeline.mapping import LevelMap
from pipeline.measure import RegionMeasurement
from pipeline.provenance import Provenance
from pipeline.quality import Quality
from pipeline.regions import Level
from pipeline.series import CtSeries
from pipeline.side_difference import SideDifference

_NUMBERS: Final = (
    "n",
    "area_mm2",
    "hu_mean",
    "hu_median",
    "hu_sd",
    "tissue_n",
    "tissue_area_mm2",
    "tissue_hu_mean",
    "tissue_hu_median",
    "tissue_hu_sd",
    "fluid_n",
    "fluid_area_mm2",
    "dense_n",
    "dense_area_mm2",
    "noise_hu",
    "difference_hu",
    "ratio",
)


_CORRECTED: Final = (
    "atlas_difference_hu",
    "corrected_difference_hu",
    "corrected_difference_low_hu",
    "corrected_difference_high_hu",
    "corrected_ratio",
    "corrected_ratio_low",
    "corrected_ratio_high",
)


def result_document(
    series: CtSeries,
    levels: AspectsLevels,
    measurements: Sequence[RegionMeasurement],
    quality: Quality,
    provenance: Provenance,
    timings_s: Mapping[str, float],
) -> dict[str, Any]:
    """Return a finished result as values that JSON can hold.

    Parameters
    ----------
    series : CtSeries
    levels : AspectsLevels
        Indices are 0-based and count from inferior to superior.
    measurements : sequence of RegionMeasurement
    quality : Quality
    provenance : Provenance
    timings_s : mapping of str to float
        Seconds by stage.

    Returns
    -------
    dict
        ``status`` is ``"done"``. A number that could not be measured is
        ``None``; there is no score.
    """
    return {
        "status": "done",
        "study_instance_uid": str(series.study_instance_uid),
        "series_instance_uid": str(series.series_instance_uid),
        "levels": {
            **{str(level): _level(series, levels.get(level)) for level in Level},
            "distance_mm": _number(levels.distance_mm),
            "method": levels.method,
        },
        "regions": [_region(item) for item in measurements],
        "quality": {
            "verdict": str(quality.verdict),
            "reasons": [
                {"code": item.code, "verdict": str(item.verdict), "text": item.text}
                for item in quality.reasons
            ],
            "numbers": {name: _number(value) for name, value in quality.numbers.items()},
        },
        "timings_s": {name: _number(value) for name, value in timings_s.items()},
        "provenance": _provenance(provenance),
        "notes": list(series.notes),
    }


def neighbours_document(series: CtSeries, neighbours: Sequence[LevelMap]) -> list[dict[str, Any]]:
    """Return the slices to which the regions were carried, as values that JSON can hold.

    Parameters
    ----------
    series : CtSeries
    neighbours : sequence of LevelMap
    """
    return [_neighbour(series, item) for item in neighbours]


def rejection_document(code: str, reason: str, series_instance_uid: str | None) -> dict[str, Any]:
    """Return the document of a series that cannot be mapped.

    Parameters
    ----------
    code : str
        Of the ``SeriesError``, for machines.
    reason : str
        For people.
    series_instance_uid : str or None
        ``None`` where not even that could be read.

    Examples
    --------
    >>> rejection_document("geometry", "no position", "1.2.3")["status"]
    'rejected'
    """
    return {
        "status": "rejected",
        "series_instance_uid": series_instance_uid,
        "code": code,
        "reason": reason,
    }


def _level(series: CtSeries, choice: LevelChoice) -> dict[str, Any]:
    return {
        "index": int(choice.index),
        "sop_instance_uid": str(choice.sop_instance_uid),
        "runner_up_index": None if choice.runner_up_index is None else int(choice.runner_up_index),
        "margin": _number(choice.margin),
        "position_mm": [round(float(value), 3) for value in series.positions_mm[choice.index]],
    }


def _neighbour(series: CtSeries, item: LevelMap) -> dict[str, Any]:
    numbers, counts = np.unique(item.labels[item.labels > 0], return_counts=True)
    return {
        "index": int(item.slice_index),
        "sop_instance_uid": str(series.sop_instance_uids[item.slice_index]),
        "level": str(item.level),
        "n": {str(number): int(n) for number, n in zip(numbers, counts, strict=True)},
    }


def _region(item: RegionMeasurement) -> dict[str, Any]:
    region = item.region_side
    return {
        "number": region.number,
        "region": str(region.region),
        "side": str(region.side),
        "level": str(region.level),
        "slice_index": int(item.slice_index),
        **{name: _number(getattr(item, name)) for name in _NUMBERS},
        **{name: _number(value) for name, value in _corrected(item.comparison).items()},
        **({} if item.review is None else {"for_review": item.review.marked}),
    }


def _corrected(found: SideDifference | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(_CORRECTED)
    interval, ratios = found.interval_hu or (None, None), found.ratio_interval or (None, None)
    numbers = (
        found.atlas_difference_hu,
        found.corrected_difference_hu,
        *interval,
        found.corrected_ratio,
        *ratios,
    )
    return dict(zip(_CORRECTED, numbers, strict=True))


def _provenance(provenance: Provenance) -> dict[str, Any]:
    plain = asdict(provenance)
    plain["algorithms"] = [
        {**item, "parameters": list(item["parameters"])} for item in plain["algorithms"]
    ]
    return plain


def _number(value: float | None) -> float | int | None:
    """Return a plain number, ``None`` for what JSON cannot hold."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, int | np.integer) else round(float(value), 4)
