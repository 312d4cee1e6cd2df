"""Write the report: one HTML file that holds everything, pictures too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, StrictUndefined, select_autoescape

from node.evaluation.figures import (
    READING_COLOUR,
    REFERENCE_COLOUR,
    draw_levels,
    draw_overlays,
    draw_regions,
)
from node.evaluation.measure import Measured
from node.evaluation.summary import Summary
from pipeline.evaluation.overlap import TOLERANCE_MM
from pipeline.evaluation.statistics import RESAMPLES, Distribution
from pipeline.evaluation.tables import ALL_REGIONS, Comparison, RegionRow
from pipeline.regions import Region

_TEMPLATE: Final = Path(__file__).with_name("report.html")
_HEADINGS: Final = {
    "dsc": "Dice",
    "surface_dsc": "surface Dice, 1 mm",
    "hd95_mm": "HD95, mm",
    "msd_mm": "mean distance, mm",
    "area_ratio": "area ratio",
    "centroid_mm": "centroids, mm",
}
_PAPER: Final = {
    "the paper: atlas – mean of 3 readers": (
        *(0.912, 0.922, 0.855, 0.858, 0.874, 0.900, 0.882, 0.854, 0.889, 0.860),
    ),
    "the paper: reader – reader, mean": (
        *(0.905, 0.918, 0.833, 0.837, 0.867, 0.894, 0.849, 0.853, 0.895, 0.851),
    ),
}
"""Sun et al., Sci Data 11, 1132 (2024), Table 3: 91 patients of its own, by region."""
_SIGNIFICANT: Final = 0.05
_PALEST, _DARKEST = 0.6, 1.0


def write_report(
    path: Path,
    measured: Sequence[Measured],
    summary: Summary,
    settings: Mapping[str, Any],
    pictures: int,
) -> None:
    """Write the report.

    Parameters
    ----------
    path : Path
    measured : sequence of Measured
    summary : Summary
    settings : mapping of str to object
        What is told about how it was made.
    pictures : int
        Cases to show, from the worst to the best.
    """
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "spread": _spread,
        "interval": _interval,
        "percent": _percent,
        "p": _p,
        "shade": _shade,
    }
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    content = template.render(
        summary=summary,
        settings=settings,
        measured=measured,
        regions=[*map(str, Region), ALL_REGIONS],
        metrics=_HEADINGS,
        tables=_tables(summary),
        figures=_figures(measured, summary),
        overlays=_overlays(measured, summary, pictures),
        listed=_listed(measured, summary),
        level_figure=draw_levels(measured, _readers(summary)) if summary.levels else "",
        all_regions=ALL_REGIONS,
        paper={name: [*row, float(np.mean(row))] for name, row in _PAPER.items()},
        tolerance_mm=TOLERANCE_MM,
        resamples=RESAMPLES,
        significant=_SIGNIFICANT,
        colours={"reference": REFERENCE_COLOUR, "reading": READING_COLOUR},
    )
    path.write_text(content, encoding="utf-8")


def _tables(summary: Summary) -> list[tuple[str, list[RegionRow], list[RegionRow]]]:
    """Return for each reader the rows of both sides together, and of each side."""
    readers = dict.fromkeys(row.reader for row in summary.regions)
    return [
        (
            reader,
            [row for row in summary.regions if row.reader == reader and row.side is None],
            [row for row in summary.regions if row.reader == reader and row.side is not None],
        )
        for reader in readers
    ]


def _figures(measured: Sequence[Measured], summary: Summary) -> list[str]:
    comparisons = [item for one in measured for item in one.comparisons]
    pairs = list(dict.fromkeys((row.reader, row.against) for row in summary.regions))
    drawn = []
    if pairs:
        drawn.append(draw_regions(comparisons, pairs, "dsc", "Dice coefficient, both sides"))
        drawn.append(
            draw_regions(
                comparisons,
                pairs,
                "hd95_mm",
                "95th percentile of the distance between contours, mm",
            )
        )
    return drawn


def _readers(summary: Summary) -> list[str]:
    return list(dict.fromkeys(row.reader for row in summary.levels))


def _dice(one: Measured, reader: str, against: str) -> float:
    values = [item.score.dsc for item in _own(one.comparisons, reader, against)]
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _own(comparisons: Sequence[Comparison], reader: str, against: str) -> list[Comparison]:
    return [
        item
        for item in comparisons
        if (item.reader, item.against) == (reader, against) and item.score.side is None
    ]


def _worst_first(measured: Sequence[Measured], summary: Summary) -> list[tuple[Measured, float]]:
    """Return the cases that were compared with the reference, the worst first."""
    if summary.primary is None or summary.reference is None:
        return []
    scored = [(one, _dice(one, summary.primary, summary.reference)) for one in measured]
    known = [(one, value) for one, value in scored if math.isfinite(value)]
    return sorted(known, key=lambda item: item[1])


def _listed(measured: Sequence[Measured], summary: Summary) -> list[tuple[Measured, float]]:
    ranked = _worst_first(measured, summary)
    names = {one.case.name for one, _ in ranked}
    return [(one, math.nan) for one in measured if one.case.name not in names] + ranked


def _overlays(
    measured: Sequence[Measured], summary: Summary, pictures: int
) -> list[tuple[str, float, str]]:
    """Draw some cases, evenly from the worst to the best."""
    ranked = [item for item in _worst_first(measured, summary) if item[0].overlays]
    if not ranked or pictures < 1:
        return []
    places = np.linspace(0, len(ranked) - 1, min(pictures, len(ranked))).round().astype(int)
    return [
        (one.case.name, dice, draw_overlays(one.overlays))
        for one, dice in (ranked[place] for place in places)
    ]


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _spread(value: Distribution, digits: int = 3) -> str:
    if not value.n:
        return "–"
    if math.isnan(value.sd):
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} ± {value.sd:.{digits}f}"


def _interval(value: Distribution | tuple[float, float], digits: int = 3) -> str:
    low, high = value.interval if isinstance(value, Distribution) else value
    if math.isnan(low):
        return "–"
    between = "–" if low >= 0 else " to "
    return f"{low:.{digits}f}{between}{high:.{digits}f}"


def _percent(value: float | tuple[float, float]) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:.0%}–{value[1]:.0%}".replace("%–", "–")
    return f"{value:.1%}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _shade(value: Distribution) -> str:
    """Return the colour of a cell: the higher the Dice coefficient, the deeper."""
    if not value.n:
        return "transparent"
    share = (value.mean - _PALEST) / (_DARKEST - _PALEST)
    return f"rgba(0, 114, 178, {max(0.0, min(1.0, share)) * 0.55:.3f})"
