"""The report of one page as PDF: both pictures, the table of regions, the evidence."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader, simpleSplit
from reportlab.pdfgen.canvas import Canvas

from pipeline.encode.findings import Findings
from pipeline.encode.key_image import PRESETS, STYLE, draw_level
from pipeline.encode.panel import line_colour
from pipeline.encode.words import (
    READING_NOTES,
    atlas_sentence,
    certainty,
    corrected_words,
    hu_words,
    mark_words,
    review_sentences,
    verdict_words,
)
from pipeline.measure import RegionMeasurement
from pipeline.quality import Verdict
from pipeline.regions import REGION_SIDES, Level, RegionSide

Colour = tuple[float, float, float]

_WIDTH, _HEIGHT = A4
_MARGIN: Final = 36.0
_PICTURE: Final = (620, 520)  # rows and columns in display pixels
_PICTURE_WIDTH: Final[float] = (_WIDTH - 2 * _MARGIN - 10) / 2
_PICTURE_HEIGHT: Final[float] = _PICTURE_WIDTH * _PICTURE[0] / _PICTURE[1]
_TEXT: Final = "Helvetica"
_BOLD: Final = "Helvetica-Bold"
_INK: Final[Colour] = (0.1, 0.1, 0.12)
_SOFT: Final[Colour] = (0.4, 0.42, 0.45)
_RULE: Final[Colour] = (0.8, 0.8, 0.82)
_ROW: Final = 13.2
_COLUMNS: Final = (  # heading, right edge
    ("right, mm²", 214.0),
    ("left, mm²", 260.0),
    ("right, HU", 308.0),
    ("left, HU", 352.0),
    ("right - left", 404.0),
    ("corrected* (95 % interval)", 523.0),
)
_MARK_LEFT: Final = 139.0
_MARK_SIZE: Final = 6.5
_BADGES: Final[dict[Verdict, Colour]] = {
    Verdict.PASS: (0.75, 0.92, 0.8),
    Verdict.WARN: (1.0, 0.88, 0.55),
    Verdict.FAIL: (1.0, 0.72, 0.68),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pen:
    """Writes on the page; heights are measured from its top, in points."""

    canvas: Any

    def write(
        self, left: float, top: float, text: str, size: float = 9, colour: Colour = _INK
    ) -> None:
        self.canvas.setFillColorRGB(*colour)
        self.canvas.setFont(_TEXT, size)
        self.canvas.drawString(left, _HEIGHT - top, text)

    def heading(self, left: float, top: float, text: str, size: float = 9) -> None:
        self.canvas.setFillColorRGB(*_INK)
        self.canvas.setFont(_BOLD, size)
        self.canvas.drawString(left, _HEIGHT - top, text)

    def right(
        self, edge: float, top: float, text: str, size: float = 9, colour: Colour = _INK
    ) -> None:
        self.canvas.setFillColorRGB(*colour)
        self.canvas.setFont(_TEXT, size)
        self.canvas.drawRightString(edge, _HEIGHT - top, text)

    def rule(self, top: float) -> None:
        self.canvas.setStrokeColorRGB(*_RULE)
        self.canvas.line(_MARGIN, _HEIGHT - top, _WIDTH - _MARGIN, _HEIGHT - top)

    def paragraph(self, top: float, text: str, size: float = 8.5) -> float:
        """Write wrapped text; return where the next line begins."""
        for line in simpleSplit(text, _TEXT, size, _WIDTH - 2 * _MARGIN):
            self.write(_MARGIN, top, line, size)
            top += size + 2.3
        return top


def render_page(findings: Findings, moment: datetime) -> bytes:
    """Draw the report.

    Parameters
    ----------
    findings : Findings
    moment : datetime.datetime
        Printed as the time of making; with a time zone.

    Returns
    -------
    bytes
        A PDF of one A4 page; the same arguments give the same bytes. It names
        the series by its UID, and never the patient.
    """
    buffer = io.BytesIO()
    # without invariant it would carry the wall clock and a random identifier
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=1)
    canvas.setTitle("ASPECTS regions")
    canvas.setAuthor("aspects-node")
    canvas.setSubject("Regions and densities; not for primary diagnosis")
    canvas.setLineWidth(0.5)
    pen = _Pen(canvas=canvas)
    top = _head(pen, findings, moment)
    top = _pictures(pen, findings, top)
    top = _table(pen, findings, top + 20)
    _evidence(pen, findings, top + 16)
    _foot(pen)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _head(pen: _Pen, findings: Findings, moment: datetime) -> float:
    pen.heading(_MARGIN, 52, "ASPECTS regions on head CT", 17)
    words = f"Quality: {verdict_words(findings.quality.verdict)}"
    width = pen.canvas.stringWidth(words, _TEXT, 10.5) + 16
    pen.canvas.setFillColorRGB(*_BADGES[findings.quality.verdict])
    pen.canvas.rect(_WIDTH - _MARGIN - width, _HEIGHT - 56, width, 19, stroke=0, fill=1)
    pen.right(_WIDTH - _MARGIN - 8, 50, words, 10.5)
    made = f"drawn by software, unverified; made {moment:%Y-%m-%d %H:%M:%S %z}"
    pen.write(_MARGIN, 68, made, 9, _SOFT)
    pen.write(_MARGIN, 80, f"CT series {findings.series.series_instance_uid}", 8, _SOFT)
    return 92.0


def _pictures(pen: _Pen, findings: Findings, top: float) -> float:
    centre, width = PRESETS[0]
    for place, level in enumerate(Level):
        left = _MARGIN + place * (_PICTURE_WIDTH + 10)
        choice = findings.levels.get(level)
        pen.heading(left, top + 10, f"{level.capitalize()} level", 10.5)
        where = f"slice {choice.index + 1} of {len(findings.series)}"
        pen.right(left + _PICTURE_WIDTH, top + 10, where, 9)
        pen.write(left, top + 22, certainty(choice), 8, _SOFT)
        rgb, _ = draw_level(findings, level, PRESETS[0], _PICTURE)
        pen.canvas.drawImage(
            ImageReader(Image.fromarray(rgb)),
            left,
            _HEIGHT - top - 28 - _PICTURE_HEIGHT,
            _PICTURE_WIDTH,
            _PICTURE_HEIGHT,
        )
        _on_picture(pen, left, top + 28, f"W{width:.0f} L{centre:.0f}")
    return top + 28 + _PICTURE_HEIGHT


def _on_picture(pen: _Pen, left: float, top: float, window: str) -> None:
    white = (1.0, 1.0, 1.0)
    middle = top + _PICTURE_HEIGHT / 2
    pen.write(left + 5, middle, "R", 12, white)
    pen.right(left + _PICTURE_WIDTH - 5, middle, "L", 12, white)
    pen.write(left + 5, top + _PICTURE_HEIGHT - 6, window, 8, white)


def _table(pen: _Pen, findings: Findings, top: float) -> float:
    pen.heading(_MARGIN, top, "Regions: area, and median density of their tissue")
    top += 14
    for heading, edge in _COLUMNS:
        pen.right(_MARGIN + edge, top, heading, 8, _SOFT)
    pen.rule(top + 4)
    half = len(REGION_SIDES) // 2
    for right, left in zip(REGION_SIDES[:half], REGION_SIDES[half:], strict=True):
        top += _ROW
        _swatch(pen, right, top)
        pen.heading(_MARGIN + 22, top, str(right.region))
        pen.write(_MARGIN + 46, top, right.title.split(",")[0])
        cells = _cells(findings.measured(right), findings.measured(left))
        for text, (_, edge) in zip(cells, _COLUMNS, strict=True):
            pen.right(_MARGIN + edge, top, text)
        _mark(pen, findings, right, top)
    pen.rule(top + 5)
    return top + 5


def _swatch(pen: _Pen, item: RegionSide, top: float) -> None:
    red, green, blue = line_colour(item, STYLE)
    pen.canvas.setFillColorRGB(red / 255, green / 255, blue / 255)
    pen.canvas.setStrokeColorRGB(*_SOFT)
    pen.canvas.rect(_MARGIN, _HEIGHT - top - 1, 14, 8, stroke=1, fill=1)


def _cells(right: RegionMeasurement, left: RegionMeasurement) -> Sequence[str]:
    return (
        f"{right.area_mm2:.0f}",
        f"{left.area_mm2:.0f}",
        hu_words(right.tissue_hu_median),
        hu_words(left.tissue_hu_median),
        hu_words(right.difference_hu, "+"),
        corrected_words(right.comparison),
    )


def _mark(pen: _Pen, findings: Findings, right: RegionSide, top: float) -> None:
    """Name the darker side where it is marked for review."""
    words = mark_words(findings.pair(right))
    if words:
        left = _MARGIN + _MARK_LEFT
        width = pen.canvas.stringWidth(words, _TEXT, _MARK_SIZE) + 6
        pen.canvas.setFillColorRGB(*_BADGES[Verdict.WARN])
        pen.canvas.rect(left, _HEIGHT - top - 2, width, 10, stroke=0, fill=1)
        pen.write(left + 3, top, words, _MARK_SIZE)


def _evidence(pen: _Pen, findings: Findings, top: float) -> None:
    levels, provenance = findings.levels, findings.provenance
    reasons = " ".join(reason.text for reason in findings.quality.reasons)
    named = "; ".join(
        f"{item.name} {item.version}" + (f" sha256 {item.sha256[:16]}" if item.sha256 else "")
        for item in provenance.algorithms
    )
    for line in (
        f"Quality: {reasons or 'nothing was found against the mapping.'}",
        f"Levels: {levels.distance_mm:.1f} mm apart, chosen by {levels.method}.",
        f"{atlas_sentence(provenance)} sha256 {provenance.atlas_sha256[:16]}.",
        f"aspects-node {provenance.pipeline_version}: {named or 'no algorithm named'}.",
        "* Less the difference that the sides of the atlas have of their own; HU.",
        "Outlines are a template of the regions, not a finding in them.",
        *review_sentences(findings.measurements),
    ):
        top = pen.paragraph(top, line) + 3


def _foot(pen: _Pen) -> None:
    pen.rule(_HEIGHT - 54)
    for note, above in zip(READING_NOTES[::-1], (41, 29), strict=True):
        pen.heading(_MARGIN, _HEIGHT - above, note)
