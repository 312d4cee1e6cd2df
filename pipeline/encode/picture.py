"""One picture of the result for people: both levels, plain above, regions below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from pipeline.encode.panel import (
    PANEL,
    WINDOW,
    RgbArray,
    common_field,
    font,
    plain_panel,
    region_panel,
)
from pipeline.encode.words import READING_NOTES, atlas_sentence, certainty
from pipeline.levels import AspectsLevels, LevelChoice
from pipeline.mapping import RegionMap
from pipeline.provenance import Provenance
from pipeline.quality import Quality, Verdict
from pipeline.regions import Level, Side, at_level
from pipeline.volume import Volume

Colour = tuple[int, int, int]
Point = tuple[int, int]

_GAP: Final = 10
_TOP: Final = 84
_BOTTOM: Final = 58
_SIDE: Final = 440
_TEXT: Final = 19
_INK: Final[Colour] = (232, 234, 237)
_SOFT: Final[Colour] = (158, 164, 172)
_GROUND: Final[Colour] = (14, 16, 20)
_LINE: Final[Colour] = (52, 57, 65)
_CAUTION: Final[Colour] = (255, 205, 90)
_VERDICTS: Final[dict[Verdict, tuple[str, Colour]]] = {
    Verdict.PASS: ("PASS", (70, 190, 120)),
    Verdict.WARN: ("CHECK THE MAPPING", (255, 190, 60)),
    Verdict.FAIL: ("FAILED: DO NOT RELY ON IT", (255, 95, 85)),
}


def render_levels(
    volume: Volume,
    region_map: RegionMap,
    levels: AspectsLevels,
    quality: Quality,
    provenance: Provenance,
) -> RgbArray:
    """Draw both levels side by side, plain above and with regions below.

    Parameters
    ----------
    volume : Volume
    region_map : RegionMap
    levels : AspectsLevels
    quality : Quality
    provenance : Provenance

    Returns
    -------
    numpy.ndarray, shape (row, column, 3), uint8
        Radiologist's view, window W80 L40, true proportions. Nothing on it
        names the patient.
    """
    field = common_field(volume, [levels.get(level).index for level in Level])
    rows = _TOP + 2 * PANEL[0] + _GAP + _BOTTOM
    columns = 3 * _GAP + 2 * PANEL[1] + _SIDE
    page = Image.new("RGB", (columns, rows), _GROUND)
    canvas = ImageDraw.Draw(page)
    for place, level in enumerate(Level):
        choice = levels.get(level)
        left = _GAP + place * (PANEL[1] + _GAP)
        plain = plain_panel(volume, choice.index, field)
        labels = region_map.levels[level].labels
        below = (left, _TOP + PANEL[0] + _GAP)
        page.paste(Image.fromarray(plain), (left, _TOP))
        page.paste(Image.fromarray(region_panel(plain, volume, labels, field)), below)
        _caption(canvas, volume, choice, left)
        _frame(canvas, below, quality.verdict)
        for corner in ((left, _TOP), below):
            _marks(canvas, corner)
            _scale(canvas, corner, field.mm_per_pixel)
    _side_column(canvas, 2 * (PANEL[1] + _GAP) + 2 * _GAP, levels, quality, provenance)
    _footer(canvas, rows)
    return np.asarray(page)


def png_bytes(rgb: RgbArray) -> bytes:
    """Encode a picture as PNG, fast; the same picture gives the same bytes.

    Parameters
    ----------
    rgb : numpy.ndarray, shape (row, column, 3), uint8
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="PNG", compress_level=2)
    return buffer.getvalue()


def _caption(canvas: ImageDraw.ImageDraw, volume: Volume, choice: LevelChoice, left: int) -> None:
    z_mm = float(volume.pixel_affines[choice.index][2, 2])
    where = (
        f"slice {choice.index + 1} of {len(volume.voxels)} from inferior "
        f"(index {choice.index}), z {z_mm:.1f} mm"
    )
    canvas.text((left, 8), f"{choice.level.capitalize()} level", font=font(26), fill=_INK)
    canvas.text((left, 38), where, font=font(_TEXT), fill=_INK)
    canvas.text((left, 60), certainty(choice), font=font(16), fill=_SOFT)


def _frame(canvas: ImageDraw.ImageDraw, corner: Point, verdict: Verdict) -> None:
    """Frame the regions in the colour of the verdict, unless it is good."""
    if verdict is Verdict.PASS:
        return
    left, top = corner
    far = (left + PANEL[1] - 1, top + PANEL[0] - 1)
    canvas.rectangle([corner, far], outline=_VERDICTS[verdict][1], width=3)


def _marks(canvas: ImageDraw.ImageDraw, corner: Point) -> None:
    left, top = corner
    middle = (left + PANEL[1] // 2, top + PANEL[0] // 2)
    places = {
        ("R", "lm"): (left + 8, middle[1]),
        ("L", "rm"): (left + PANEL[1] - 8, middle[1]),
        ("A", "ma"): (middle[0], top + 6),
        ("P", "md"): (middle[0], top + PANEL[0] - 6),
    }
    for (letter, anchor), place in places.items():
        canvas.text(
            place,
            letter,
            font=font(24),
            fill=_CAUTION,
            stroke_width=2,
            stroke_fill=(0, 0, 0),
            anchor=anchor,
        )


def _scale(canvas: ImageDraw.ImageDraw, corner: Point, mm_per_pixel: float) -> None:
    """Draw 50 mm to scale, and the window, in the lower corners."""
    left, top = corner
    base = top + PANEL[0] - 14
    length = round(50 / mm_per_pixel)
    right = left + PANEL[1] - 14
    canvas.line([(right - length, base), (right, base)], fill=_INK, width=2)
    canvas.text((right, base - 6), "50 mm", font=font(15), fill=_INK, anchor="rd")
    centre, width = WINDOW
    canvas.text(
        (left + 12, base), f"W{width:.0f} L{centre:.0f}", font=font(15), fill=_INK, anchor="ls"
    )


def _side_column(
    canvas: ImageDraw.ImageDraw,
    left: int,
    levels: AspectsLevels,
    quality: Quality,
    provenance: Provenance,
) -> None:
    canvas.text((left, 8), "ASPECTS regions", font=font(30), fill=_INK)
    canvas.text((left, 46), "mapped by software, unverified", font=font(_TEXT), fill=_SOFT)
    y = _legend(canvas, (left, _TOP))
    y = _quality(canvas, (left, y + 14), quality)
    y = _heading(canvas, (left, y + 14), "Levels")
    y = _paragraph(
        canvas, (left, y), f"{levels.distance_mm:.1f} mm apart, chosen by {levels.method}."
    )
    y = _heading(canvas, (left, y + 14), "Atlas")
    y = _paragraph(canvas, (left, y), atlas_sentence(provenance))
    y = _heading(canvas, (left, y + 14), "Software")
    named = ", ".join(f"{item.name} {item.version}" for item in provenance.algorithms)
    version = f"aspects-node {provenance.pipeline_version}"
    _paragraph(canvas, (left, y), f"{version}: {named}." if named else f"{version}.")


def _legend(canvas: ImageDraw.ImageDraw, place: Point) -> int:
    left, y = place
    for level in Level:
        y = _heading(canvas, (left, y), f"{level.capitalize()} level")
        for item in at_level(level):
            if item.side is not Side.RIGHT:
                continue
            canvas.rectangle(
                [(left, y + 3), (left + 22, y + 20)],
                fill=_tinted(item.rgb),
                outline=item.rgb,
                width=3,
            )
            canvas.text((left + 34, y), str(item.region), font=font(_TEXT), fill=_INK)
            canvas.text((left + 76, y), item.title.split(",")[0], font=font(_TEXT), fill=_INK)
            y += 29
        y += 12
    return y


def _tinted(rgb: Colour) -> Colour:
    red, green, blue = (round(value * 0.45) for value in rgb)
    return red, green, blue


def _quality(canvas: ImageDraw.ImageDraw, place: Point, quality: Quality) -> int:
    left, _ = place
    y = _heading(canvas, place, "Quality of the mapping")
    word, colour = _VERDICTS[quality.verdict]
    canvas.rectangle([(left, y), (left + _SIDE - 2 * _GAP, y + 34)], fill=colour)
    canvas.text((left + 12, y + 17), word, font=font(20), fill=(0, 0, 0), anchor="lm")
    y += 44
    for reason in quality.reasons:
        y = _paragraph(canvas, (left, y), reason.text) + 4
    return y


def _heading(canvas: ImageDraw.ImageDraw, place: Point, text: str) -> int:
    left, y = place
    canvas.text((left, y), text, font=font(_TEXT), fill=_SOFT)
    canvas.line([(left, y + 26), (left + _SIDE - 2 * _GAP, y + 26)], fill=_LINE, width=1)
    return y + 35


def _paragraph(canvas: ImageDraw.ImageDraw, place: Point, text: str) -> int:
    left, y = place
    for line in _wrapped(canvas, text.split(), _SIDE - 2 * _GAP):
        canvas.text((left, y), line, font=font(_TEXT), fill=_INK)
        y += 27
    return y


def _wrapped(canvas: ImageDraw.ImageDraw, words: Sequence[str], width: int) -> list[str]:
    lines: list[str] = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if canvas.textlength(longer, font=font(_TEXT)) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _footer(canvas: ImageDraw.ImageDraw, rows: int) -> None:
    first, second = READING_NOTES
    canvas.text(
        (_GAP, rows - _BOTTOM // 2),
        f"{second}  {first}",
        font=font(22),
        fill=_CAUTION,
        anchor="lm",
    )
