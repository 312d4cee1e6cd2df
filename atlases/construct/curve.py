"""Draw how far each round moved, as Fig. 4 of the paper does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from atlases.construct.template import Movement
from pipeline.atlas import AgeGroup
from pipeline.regions import Level

_SIZE: Final = (1000, 520)
_LEFT, _TOP, _RIGHT, _BOTTOM = 90, 60, 700, 450
_INK: Final = (40, 40, 40)
_GRID: Final = (215, 215, 215)
# Okabe-Ito, so that colour-blind readers can tell the lines apart
_COLOURS: Final = (
    *((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167)),
    *((230, 159, 0), (86, 180, 233), (0, 0, 0), (130, 130, 130)),
)

Series = tuple[str, Sequence[float], tuple[int, int, int], bool]


def draw_curve(movements: Mapping[tuple[AgeGroup, Level], Sequence[Movement]]) -> Image.Image:
    """Plot deformation (solid) and shape update (dashed) of each round.

    Parameters
    ----------
    movements : mapping of (AgeGroup, Level) to sequence of Movement
        At least one, all of one length.
    """
    lines = _lines(movements)
    highest = max(max(values) for _, values, _, _ in lines) or 1.0
    top = next(step for step in (0.5, 1, 2, 3, 4, 5, 8, 10, 20, 50, 1e3) if step >= highest)
    image = Image.new("RGB", _SIZE, "white")
    canvas = ImageDraw.Draw(image)
    _axes(canvas, len(lines[0][1]), top)
    for index, (title, values, colour, dashed) in enumerate(lines):
        points = [
            (_x(place, len(values)), _BOTTOM - (_BOTTOM - _TOP) * value / top)
            for place, value in enumerate(values)
        ]
        _line(canvas, points, colour, dashed)
        y = _TOP + 26 * index
        _line(canvas, [(_RIGHT + 25, y + 8), (_RIGHT + 65, y + 8)], colour, dashed)
        canvas.text((_RIGHT + 75, y), title, fill=_INK, font=_font(15))
    return image


def _lines(movements: Mapping[tuple[AgeGroup, Level], Sequence[Movement]]) -> list[Series]:
    found: list[Series] = []
    for index, ((group, level), rounds) in enumerate(movements.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        short = f"{group} {level[:4]}."
        found.append((f"{short} bend", [one.deformation_mm for one in rounds], colour, False))
        found.append((f"{short} update", [one.update_mm for one in rounds], colour, True))
    return found


def _axes(canvas: ImageDraw.ImageDraw, rounds: int, top: float) -> None:
    canvas.text((_LEFT, 20), "Mean displacement in the brain (mm)", fill=_INK, font=_font(18))
    for part in range(6):
        y = _BOTTOM - (_BOTTOM - _TOP) * part / 5
        canvas.line([(_LEFT, y), (_RIGHT, y)], fill=_GRID)
        canvas.text((_LEFT - 10, y), f"{top * part / 5:g}", fill=_INK, font=_font(15), anchor="rm")
    for place in range(rounds):
        canvas.text(
            (_x(place, rounds), _BOTTOM + 12),
            str(place + 1),
            fill=_INK,
            font=_font(15),
            anchor="mt",
        )
    canvas.text(
        ((_LEFT + _RIGHT) / 2, _BOTTOM + 40), "round", fill=_INK, font=_font(15), anchor="mt"
    )


def _x(place: int, rounds: int) -> float:
    return _LEFT + (_RIGHT - _LEFT) * (place + 0.5) / rounds


def _line(
    canvas: ImageDraw.ImageDraw,
    points: Sequence[tuple[float, float]],
    colour: tuple[int, int, int],
    dashed: bool,
) -> None:
    for (x0, y0), (x1, y1) in pairwise(points):
        parts = max(1, round(abs(x1 - x0) / 8))
        for part in range(0, parts, 2 if dashed else 1):
            start, end = part / parts, (part + 1) / parts
            canvas.line(
                [
                    (x0 + (x1 - x0) * start, y0 + (y1 - y0) * start),
                    (x0 + (x1 - x0) * end, y0 + (y1 - y0) * end),
                ],
                fill=colour,
                width=3,
            )
    for x, y in points:
        canvas.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
