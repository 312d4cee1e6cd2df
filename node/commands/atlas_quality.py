"""``aspects-node atlas quality``: judge the templates of atlas sets."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from atlases.errors import AtlasError
from atlases.quality import ENTROPY_CAVEAT, TemplateQuality, judge_folder
from atlases.quality_picture import Judged, draw_quality
from node.commands.shared import fail


@click.command("quality")
@click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("atlas-quality.png"),
    show_default=True,
    help="Picture of the templates, their gradients and figures.",
)
def quality_command(folders: tuple[Path, ...], picture: Path) -> None:
    """Measure the templates in one or more FOLDERs, installed or your own.

    Entropy as the paper has it and inside the brain, sharpness, the difference
    of the sides, regions in pieces. Prints a table and draws a picture; the last
    line is one JSON list with the same figures and those of each region.
    """
    try:
        judged = [item for folder in folders for item in judge_folder(folder)]
    except AtlasError as error:
        fail(f"error [{error.code}]: {error}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(draw_quality(judged))
    _report(judged, picture)
    click.echo(json.dumps([quality.document() for _, quality in judged]))


def _report(judged: Sequence[Judged], picture: Path) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    numbers = ("entropy full", "entropy brain", "gradient HU/mm", "edge mm", "R/L area", "R/L HU")
    table = Table(
        "atlas", "age", "level", *(Column(name, justify="right") for name in numbers), "in pieces"
    )
    for _, quality in judged:
        table.add_row(*_cells(quality))
    console.print(table)
    console.print(ENTROPY_CAVEAT, highlight=False)
    console.print(f"picture: {picture}", soft_wrap=True, markup=False, highlight=False)


def _cells(quality: TemplateQuality) -> Iterator[str]:
    yield quality.name
    yield quality.age_group
    yield str(quality.level)
    yield f"{quality.entropy_full:.2f}"
    yield _or_dash(quality.entropy_brain)
    yield _or_dash(quality.gradient_hu_mm)
    yield _or_dash(quality.edge_width_mm)
    yield "–" if math.isnan(quality.area_asymmetry) else f"{quality.area_asymmetry:.1%}"
    yield _or_dash(quality.hu_asymmetry)
    yield ", ".join(quality.fragmented)


def _or_dash(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
