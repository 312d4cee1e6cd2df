"""The report as lines of text, for HL7 and FHIR."""

from __future__ import annotations

from collections.abc import Iterator

from node.notify.message import Message
from node.web.report import NOTES, LevelReport, RegionReport, Report
from node.web.words import hu


def report_lines(message: Message) -> list[str]:
    """Return the report, a sentence a line; no densities where the mapping failed."""
    report = message.report
    if report is None:
        return []
    return [
        "ASPECTS regions on non-contrast head CT, computed, not verified by a person.",
        f"Quality of the mapping: {report.verdict} ({report.verdict_words}).",
        *(f"{item['verdict']}: {item['text']}" for item in report.reasons),
        *(_level(item, report.method) for item in report.levels),
        *([] if report.verdict == "fail" else _regions(report)),
        *NOTES,
        f"Atlas: {report.atlas}.",
        *([] if message.link is None else [f"Pictures: {message.link}"]),
    ]


def _level(level: LevelReport, method: str) -> str:
    words = f"{level.name.capitalize()} level: slice {level.index + 1} from inferior"
    if level.runner_up is None or method == "manual":
        return f"{words}, chosen by a person."
    return f"{words}; next best slice {level.runner_up + 1}, margin {level.margin or 0:.2f}."


def _regions(report: Report) -> Iterator[str]:
    yield "Median density of tissue, right and left, and the difference, in HU:"
    for region in report.regions:
        yield _region(region)


def _region(region: RegionReport) -> str:
    mark = " (for review)" if region.for_review else ""
    difference = hu(region.difference_hu, sign=True)
    return f"{region.region}: {hu(region.right_hu)}, {hu(region.left_hu)}, {difference}{mark}"
