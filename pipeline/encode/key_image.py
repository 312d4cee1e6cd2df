"""One page for any viewer: both levels in one window, regions, numbers, evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from pipeline.encode.findings import Findings
from pipeline.encode.panel import (
    RgbArray,
    Style,
    common_field,
    font,
    line_colour,
    plain_panel,
    region_panel,
)
from pipeline.encode.words import (
    READING_NOTES,
    atlas_sentence,
    certainty,
    hu_words,
    review_sentences,
    verdict_words,
)
from pipeline.measure import RegionMeasurement
from pipeline.quality import Quality, Verdict
from pipeline.regions import REGION_SIDES, Level, RegionSide

Colour = tuple[int, int, int]
Point = tuple[int, int]

PAGE: Final = 1024
"""Rows and columns: one viewport."""
PRESETS: Final = ((40.0, 40.0), (35.0, 30.0))
"""Centre and width in HU of the two windows in which early ischaemia is sought."""
STYLE: Final = Style(fill=0.0, line=2, is_safe_in_grey=True)

_GAP: Final = 8
_PANEL: Final = (566, 504)
_TOP: Final = 112
_BELOW: Final = _TOP + _PANEL[0] + 12
_TABLE: Final = (0, 40, 248, 320, 392)  # left edges of the columns, then right edges
_ROW: Final = 24
_TEXT: Final = 17
_INK: Final[Colour] = (236, 238, 240)
_SOFT: Final[Colour] = (176, 181, 188)
_GROUND: Final[Colour] = (0, 0, 0)
_RULE: Final[Colour] = (70, 75, 82)
_BADGES: Final[dict[Verdict, Colour]] = {
    Verdict.PASS: (140, 220, 165),
    Verdict.WARN: (255, 205, 90),
    Verdict.FAIL: (255, 140, 130),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pen:
    """Writes text on a page."""

    canvas: ImageDraw.ImageDraw

    def write(
        self, place: Point, text: str, size: int, colour: Colour = _INK, anchor: str = "la"
    ) -> None:
        self.canvas.text(place, text, font=font(size), fill=colour, anchor=anchor)

    def paragraph(self, place: Point, text: str, width: int, most: int) -> int:
        """Write wrapped text, cut after so many lines; return where the next begins."""
        left, top = place
        lines = self._wrapped(text.split(), _TEXT, width)
        if len(lines) > most:
            lines[most - 1 :] = [f"{lines[most - 1].rsplit(' ', 1)[0]} ..."]
        for line in lines:
            self.write((left, top), line, _TEXT)
            top += _TEXT + 5
        return top

    def _wrapped(self, words: Sequence[str], size: int, width: int) -> list[str]:
        lines = [""]
        for word in words:
            longer = f"{lines[-1]} {word}".strip()
            if self.canvas.textlength(longer, font=font(size)) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines


def render_key_image(findings: Findings, window: tuple[float, float]) -> RgbArray:
    """Draw both levels with their regions, and what a reader has to know of them.

    Parameters
    ----------
    findings : Findings
    window : tuple of float
        Centre and width in HU.

    Returns
    -------
    numpy.ndarray, shape (1024, 1024, 3), uint8
        Radiologist's view. Outlines are told apart in grey, too. Nothing on it
        names the patient.
    """
    page = Image.new("RGB", (PAGE, PAGE), _GROUND)
    pen = _Pen(canvas=ImageDraw.Draw(page))
    _header(pen, findings, window)
    for place, level in enumerate(Level):
        left = _GAP // 2 + place * (PAGE // 2)
        picture, mm_per_pixel = draw_level(findings, level, window, _PANEL)
        page.paste(Image.fromarray(picture), (left, _TOP))
        _caption(pen, findings, level, left)
        _marks(pen, (left, _TOP))
        _scale(pen, (left, _TOP), mm_per_pixel)
    _table(pen, findings, (_GAP, _BELOW))
    _evidence(pen, findings, (PAGE // 2 + _GAP, _BELOW))
    for note, below in zip(READING_NOTES[::-1], (40, 16), strict=True):
        pen.write((PAGE // 2, PAGE - below), note, 18, _BADGES[Verdict.WARN], "mm")
    return np.asarray(page)


def draw_level(
    findings: Findings, level: Level, window: tuple[float, float], size: tuple[int, int]
) -> tuple[RgbArray, float]:
    """Draw one level with its regions outlined and named.

    Parameters
    ----------
    findings : Findings
    level : Level
    window : tuple of float
        Centre and width in HU.
    size : tuple of int
        Rows and columns in display pixels.

    Returns
    -------
    tuple
        The picture, and the size of its pixels in mm; the same for both levels.
    """
    volume = findings.volume
    field = common_field(volume, [findings.levels.get(item).index for item in Level], size)
    plain = plain_panel(volume, findings.levels.get(level).index, field, window)
    labels = findings.region_map.levels[level].labels
    return region_panel(plain, volume, labels, field, STYLE), field.mm_per_pixel


def _header(pen: _Pen, findings: Findings, window: tuple[float, float]) -> None:
    centre, width = window
    pen.write((_GAP, 6), "ASPECTS regions", 30)
    pen.write((250, 17), "drawn by software, unverified", 18, _SOFT)
    pen.write((PAGE - _GAP, 6), f"W{width:.0f} L{centre:.0f}", 30, anchor="ra")
    words = f"Quality: {verdict_words(findings.quality.verdict)}"
    text_width = pen.canvas.textlength(words, font=font(18))
    right = PAGE - 150
    pen.canvas.rectangle(
        [(right - round(text_width) - 20, 8), (right, 36)],
        fill=_BADGES[findings.quality.verdict],
    )
    pen.write((right - 10, 22), words, 18, (0, 0, 0), "rm")
    pen.canvas.line([(0, 46), (PAGE, 46)], fill=_RULE)


def _caption(pen: _Pen, findings: Findings, level: Level, left: int) -> None:
    choice = findings.levels.get(level)
    z_mm = float(findings.series.positions_mm[choice.index][2])
    pen.write((left + 4, 52), f"{level.capitalize()} level", 22)
    where = f"slice {choice.index + 1} of {len(findings.series)}, z {z_mm:.1f} mm"
    pen.write((left + _PANEL[1] - 4, 55), where, 18, anchor="ra")
    pen.write((left + 4, 83), certainty(choice), 17, _SOFT)


def _marks(pen: _Pen, corner: Point) -> None:
    left, top = corner
    for letter, anchor, column in (("R", "lm", 10), ("L", "rm", _PANEL[1] - 10)):
        pen.canvas.text(
            (left + column, top + _PANEL[0] // 2),
            letter,
            font=font(28),
            fill=_INK,
            stroke_width=2,
            stroke_fill=_GROUND,
            anchor=anchor,
        )


def _scale(pen: _Pen, corner: Point, mm_per_pixel: float) -> None:
    base = corner[1] + _PANEL[0] - 10
    right = corner[0] + _PANEL[1] - 12
    pen.canvas.line([(right - round(50 / mm_per_pixel), base), (right, base)], fill=_INK, width=2)
    pen.write((right, base - 5), "50 mm", 16, anchor="rd")


def _table(pen: _Pen, findings: Findings, place: Point) -> None:
    """List the regions: legend and numbers in one."""
    left, top = place
    pen.write((left + 4, top), "Median HU of tissue", 17, _SOFT)
    for heading, edge in zip(("right", "left", "R - L"), _TABLE[2:], strict=True):
        pen.write((left + edge + 76, top), heading, 17, _SOFT, "ra")
    for place_down, right_item in enumerate(REGION_SIDES[: len(REGION_SIDES) // 2], start=1):
        y = top + 2 + place_down * _ROW
        _table_row(pen, findings, right_item, (left, y))


def _table_row(pen: _Pen, findings: Findings, item: RegionSide, place: Point) -> None:
    left, y = place
    pen.canvas.rectangle(
        [(left + 4, y + 2), (left + 28, y + 17)], outline=line_colour(item, STYLE), width=3
    )
    pen.write((left + _TABLE[1], y), str(item.region), 18)
    pen.write((left + _TABLE[1] + 40, y), item.title.split(",")[0], 17, _SOFT)
    one, two = findings.pair(item)
    for side, edge in zip((one, two), _TABLE[2:], strict=False):
        _density(pen, side, (left + edge + 76, y))
    pen.write((left + _TABLE[4] + 76, y), hu_words(one.difference_hu, "+"), 18, anchor="ra")


def _density(pen: _Pen, side: RegionMeasurement, place: Point) -> None:
    """Write a density; one that is marked for review with a star, told apart in grey, too."""
    colour = _BADGES[Verdict.WARN] if side.is_marked else _INK
    pen.write(place, hu_words(side.tissue_hu_median), 18, colour, "ra")
    if side.is_marked:
        pen.write((place[0] + 2, place[1] - 2), "*", 20, colour)


def _evidence(pen: _Pen, findings: Findings, place: Point) -> None:
    left, y = place
    width = PAGE // 2 - 3 * _GAP
    levels, provenance = findings.levels, findings.provenance
    named = ", ".join(f"{item.name} {item.version}" for item in provenance.algorithms)
    marks = review_sentences(findings.measurements)
    # with the most lines that there is room for
    quality, software = (2, 2) if marks else (4, 3)
    lines = (
        (_quality_words(findings.quality), quality),
        *((f"* {sentence}", 4) for sentence in marks),
        (f"Levels {levels.distance_mm:.1f} mm apart, chosen by {levels.method}.", 1),
        (atlas_sentence(provenance), 2),
        (
            f"aspects-node {provenance.pipeline_version}" + (f": {named}." if named else "."),
            software,
        ),
        ("Outlines are a template of the regions, not a finding in them.", 1),
    )
    for line, most in lines:
        y = pen.paragraph((left, y), line, width, most) + 7


def _quality_words(quality: Quality) -> str:
    """Say what was found against the mapping, the worst first."""
    if not quality.reasons:
        return "Quality: nothing was found against the mapping."
    worst_first = sorted(quality.reasons, key=lambda reason: reason.verdict is not Verdict.FAIL)
    return "Quality: " + " ".join(reason.text for reason in worst_first)
