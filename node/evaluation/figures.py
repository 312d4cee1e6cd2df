"""Draw the distributions and the pictures of the report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from node.evaluation.measure import Measured, Overlay
from pipeline.arrays import FloatArray, MaskArray
from pipeline.evaluation.tables import Comparison
from pipeline.regions import REGION_SIDES, Level, Region

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#666666")
REFERENCE_COLOUR: Final = "#56d4ff"
READING_COLOUR: Final = "#ffb000"
_FEWEST_FOR_A_VIOLIN: Final = 5
_SAME: Final = 1e-6
_WINDOW_HU: Final = (0.0, 80.0)
_DPI: Final = 100


def draw_regions(
    comparisons: Sequence[Comparison],
    pairs: Sequence[tuple[str, str]],
    metric: str,
    title: str,
) -> str:
    """Draw one number by region, a violin for each reader, a dot for each case.

    Parameters
    ----------
    comparisons : sequence of Comparison
    pairs : sequence of (str, str)
        Reader and reference.
    metric : str
        Field of a `RegionScore`.
    title : str

    Returns
    -------
    str
        SVG, as a data URI.
    """
    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(pairs)
    for number, pair in enumerate(pairs):
        colour = COLOURS[number % len(COLOURS)]
        for place, region in enumerate(Region):
            values = _values(comparisons, pair, region, metric)
            _violin(axis, values, place + (number - (len(pairs) - 1) / 2) * width, width, colour)
    axis.set_xticks(range(len(Region)), list(Region))
    axis.set_xlim(-0.6, len(Region) - 0.4)
    axis.set_title(title, loc="left", fontsize=11)
    axis.yaxis.grid(visible=True, color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    handles = [
        Patch(color=COLOURS[number % len(COLOURS)], label=f"{one} against {other}")
        for number, (one, other) in enumerate(pairs)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return _svg(figure)


def _values(
    comparisons: Sequence[Comparison], pair: tuple[str, str], region: Region, metric: str
) -> FloatArray:
    values = np.array(
        [
            getattr(item.score, metric)
            for item in comparisons
            if (item.reader, item.against) == pair
            and item.score.side is None
            and item.score.region is region
        ],
        dtype=np.float64,
    )
    known: FloatArray = values[np.isfinite(values)]
    return known


def _violin(axis: Axes, values: FloatArray, place: float, width: float, colour: str) -> None:
    if values.size >= _FEWEST_FOR_A_VIOLIN and np.ptp(values) > _SAME:
        shapes = axis.violinplot(values, [place], widths=0.9 * width, showextrema=False)
        bodies: Any = shapes["bodies"]  # a list, whatever the stubs say
        for body in bodies:
            body.set_facecolor(colour)
            body.set_edgecolor("none")
            body.set_alpha(0.35)
    if values.size:
        # spread by rank, the same each time
        spread = (np.argsort(np.argsort(values)) % 5 - 2) * 0.06 * width
        axis.plot(place + spread, values, ".", color=colour, markersize=3.5, alpha=0.75)
        middle = float(np.median(values))
        axis.plot([place - 0.3 * width, place + 0.3 * width], [middle] * 2, color=colour, lw=2)


def draw_levels(measured: Sequence[Measured], readers: Sequence[str]) -> str:
    """Draw how many slices each reader is off, a panel for each level; SVG as a data URI."""
    figure = Figure(figsize=(11.0, 2.9), layout="constrained")
    for place, (axis, level) in enumerate(zip(figure.subplots(1, 2), Level, strict=True)):
        counts = [_offsets(measured, reader, place) for reader in readers]
        reach = max(2, *(abs(offset) for count in counts for offset in count))
        width = 0.8 / len(readers)
        for number, (reader, count) in enumerate(zip(readers, counts, strict=True)):
            offsets = range(-reach, reach + 1)
            total = sum(count.values())
            bars = axis.bar(
                [offset + (number - (len(readers) - 1) / 2) * width for offset in offsets],
                [count.get(offset, 0) / total for offset in offsets],
                width * 0.92,
                color=COLOURS[number % len(COLOURS)],
                label=reader,
            )
            axis.bar_label(
                bars,
                [str(count[offset]) if offset in count else "" for offset in offsets],
                fontsize=7,
            )
        axis.set_title(f"{level}: slices off, positive above", loc="left", fontsize=10)
        axis.set_ylim(0, 1.1)
        axis.yaxis.set_major_formatter("{x:.0%}")
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xticks(range(-reach, reach + 1))
    handles = [
        Patch(color=COLOURS[number % len(COLOURS)], label=reader)
        for number, reader in enumerate(readers)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False, fontsize=9)
    return _svg(figure)


def _offsets(measured: Sequence[Measured], reader: str, place: int) -> dict[int, int]:
    counts: dict[int, int] = {}
    for one in measured:
        if reader in one.levels:
            finding = one.levels[reader]
            offset = finding.found[place] - finding.truth[place]
            counts[offset] = counts.get(offset, 0) + 1
    return counts


def draw_overlays(overlays: Sequence[Overlay]) -> str:
    """Draw the levels of one case side by side, both outlines on them; PNG as a data URI."""
    figure = Figure(figsize=(4.6 * len(overlays), 5.0), dpi=_DPI, facecolor="black")
    axes = figure.subplots(1, len(overlays), squeeze=False)[0]
    for axis, overlay in zip(axes, overlays, strict=True):
        _draw_overlay(axis, overlay)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.94, wspace=0.01)
    content = BytesIO()
    figure.savefig(content, format="png", facecolor="black")
    return _uri("image/png", content.getvalue())


def _draw_overlay(axis: Axes, overlay: Overlay) -> None:
    low, high = _WINDOW_HU
    axis.imshow(overlay.hu, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
    axis.set_aspect(overlay.spacing_mm[0] / overlay.spacing_mm[1])
    axis.set_axis_off()
    for item in REGION_SIDES:
        for labels, colour in (
            (overlay.reference, REFERENCE_COLOUR),
            (overlay.labels, READING_COLOUR),
        ):
            _outline(axis, labels == item.number, colour)
    apart = np.zeros((*overlay.labels.shape, 4))
    apart[overlay.labels != overlay.reference] = (1.0, 0.2, 0.2, 0.28)
    axis.imshow(apart, interpolation="nearest")
    off = f", {overlay.slice_offset:+d} slice(s)" if overlay.slice_offset else ""
    axis.set_title(f"{overlay.level}{off}", color="white", fontsize=9, pad=4)


def _outline(axis: Axes, mask: MaskArray, colour: str) -> None:
    if mask.any():
        axis.contour(mask.astype(float), [0.5], colors=[colour], linewidths=0.9)


def _svg(figure: Figure) -> str:
    content = BytesIO()
    # the same bytes each time: ids from a fixed salt, no date
    with mpl.rc_context({"svg.hashsalt": "aspects-node", "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return _uri("image/svg+xml", content.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
