"""Draw the templates of atlas sets with their figures."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import ndimage

from atlases.quality import TemplatePicture, TemplateQuality
from atlases.sharpness import brain_of, gradient_map
from pipeline.arrays import FloatArray, HuArray
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level

Judged = tuple[TemplatePicture, TemplateQuality]

_WINDOW_HU: Final = (0, 70)
_GRADIENT_HU_MM: Final = (0, 12)
_MARGIN_MM: Final = 6.0
_CELL_INCH: Final = 2.6
_TITLE: Final = 0.2
_DPI: Final = 110


def draw_quality(judged: Sequence[Judged]) -> bytes:
    """Return a PNG: one column for each age group of each set, two rows a level.

    The upper row of a level shows the template with the outlines of its
    regions, the lower its gradient. All are drawn to the same scale.

    Parameters
    ----------
    judged : sequence of (TemplatePicture, TemplateQuality)
        At least one.
    """
    columns = list(dict.fromkeys((item.name, item.age_group) for _, item in judged))
    half = np.max([_half_size_mm(picture) for picture, _ in judged], axis=0) + _MARGIN_MM
    size = _CELL_INCH * np.array([len(columns), 4 * (half[0] / half[1] + _TITLE)])
    figure = Figure(figsize=(size[0], size[1]), dpi=_DPI, facecolor="black")
    axes = figure.subplots(4, len(columns), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for picture, quality in judged:
        column = columns.index((quality.name, quality.age_group))
        row = 0 if quality.level is Level.GANGLIONIC else 2
        _draw_template(axes[row, column], picture, quality)
        _draw_gradient(axes[row + 1, column], picture, quality)
        for axis in axes[row : row + 2, column]:
            _frame(axis, picture, half)
    figure.subplots_adjust(0.01, 0.005, 0.99, 0.96, wspace=0.02, hspace=0.19)
    content = BytesIO()
    figure.savefig(content, format="png", facecolor="black")
    return content.getvalue()


def _half_size_mm(picture: TemplatePicture) -> FloatArray:
    half: FloatArray = (
        np.ptp(_corners(picture), axis=0) * np.array(picture.spacing_mm, dtype=np.float64) / 2
    )
    return half


def _corners(picture: TemplatePicture) -> npt.NDArray[np.int64]:
    """Return the first and last (row, column) of the brain."""
    brain = np.argwhere(brain_of(picture.template))
    if not len(brain):
        return np.array([[0, 0], picture.template.shape])
    return np.array([brain.min(axis=0), brain.max(axis=0)])


def _frame(axis: Axes, picture: TemplatePicture, half_mm: FloatArray) -> None:
    """Show the same extent of every template, the brain in the middle."""
    row, column = _corners(picture).mean(axis=0)
    down, across = half_mm / np.array(picture.spacing_mm)
    axis.set_xlim(column - across, column + across)
    axis.set_ylim(row + down, row - down)


def _draw_template(axis: Axes, picture: TemplatePicture, quality: TemplateQuality) -> None:
    _show(axis, picture, picture.template, "gray", _WINDOW_HU)
    if picture.labels is not None:
        for item in REGION_SIDES[:LEFT_OFFSET]:
            drawn = np.isin(picture.labels, (item.number, item.number + LEFT_OFFSET))
            if drawn.any():
                smooth = ndimage.gaussian_filter(drawn.astype(float), 0.8)
                colour = tuple(value / 255 for value in item.rgb)
                axis.contour(smooth, [0.5], colors=[colour], linewidths=0.8)
    _title(
        axis,
        f"{quality.name}  {quality.age_group}\n{quality.level}\n"
        f"entropy {quality.entropy_full:.2f}, brain {quality.entropy_brain:.2f}",
    )


def _draw_gradient(axis: Axes, picture: TemplatePicture, quality: TemplateQuality) -> None:
    gradient = gradient_map(picture.template, picture.spacing_mm)
    _show(axis, picture, gradient, "magma", _GRADIENT_HU_MM)
    edge = f", edge {quality.edge_width_mm:.2f} mm" if np.isfinite(quality.edge_width_mm) else ""
    _title(axis, f"gradient {quality.gradient_hu_mm:.2f} HU/mm{edge}")


def _show(
    axis: Axes,
    picture: TemplatePicture,
    pixels: HuArray | FloatArray,
    colours: str,
    limits: tuple[float, float],
) -> None:
    axis.imshow(pixels, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="bilinear")
    axis.set_aspect(picture.spacing_mm[0] / picture.spacing_mm[1])


def _title(axis: Axes, text: str) -> None:
    axis.set_title(text, color="white", fontsize=7.5, pad=3)
