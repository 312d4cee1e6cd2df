"""``aspects-node atlas compare``: two atlas sets on the same heads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from atlases.compare import AgedAtlas, RegionComparison, compare_head
from atlases.construct.cohort import read_cohort
from atlases.read import load_atlas_set
from node.commands.atlas import exit_on_atlas_error
from pipeline.regions import Region

_folder = click.Path(file_okay=False, path_type=Path)
_NUMBERS = ("dice", "area_ratio", "posterior_mm", "lateral_mm")


@click.command("compare")
@click.argument("first", type=_folder)
@click.argument("second", type=_folder)
@click.argument("cohort", type=_folder)
@click.option("--age", type=click.FloatRange(0, 130), default=60, show_default=True)
@click.option("--all", "everyone", is_flag=True, help="Heads that a construction leaves out, too.")
@exit_on_atlas_error
def compare_command(first: Path, second: Path, cohort: Path, age: float, everyone: bool) -> None:
    """Map the heads in COHORT with the atlas sets in FIRST and SECOND.

    COHORT is as for atlas build. Prints how well the two mappings agree for
    each region, both sides together; the last line is one JSON object.
    """
    aged = [
        AgedAtlas(atlases=item, group=item.for_age(age).group)
        for item in map(load_atlas_set, (first, second))
    ]
    subjects = read_cohort(cohort, everyone=everyone).subjects
    found: list[RegionComparison] = []
    with _progress() as progress:
        task = progress.add_task("heads", total=len(subjects))
        for subject in subjects:
            found += compare_head(subject, *aged)
            progress.advance(task)
    summary = {region.value: _summary(_of_region(found, region)) for region in Region}
    Console().print(_table(summary, [f"{item.atlases.name} {item.group}" for item in aged]))
    heads = {
        subject.name: round(
            float(np.mean([one.dice for one in found if one.head == subject.name])), 4
        )
        for subject in subjects
    }
    click.echo(json.dumps({"heads": heads, "regions": summary}))


def _of_region(found: Sequence[RegionComparison], region: Region) -> list[RegionComparison]:
    return [one for one in found if one.region.region is region]


def _summary(found: Sequence[RegionComparison]) -> dict[str, float]:
    columns = {name: np.array([getattr(one, name) for one in found]) for name in _NUMBERS}
    means = {name: round(float(np.nanmean(values)), 4) for name, values in columns.items()}
    spread = columns["dice"]
    return {
        **means,
        "dice_sd": round(float(spread.std()), 4),
        "dice_min": round(float(spread.min()), 4),
    }


def _table(summary: dict[str, dict[str, float]], names: Sequence[str]) -> Table:
    table = Table("region", title=f"{names[0]} against {names[1]}, years")
    for title in ("Dice", "SD", "least", "area ratio", "behind mm", "outward mm"):
        table.add_column(title, justify="right")
    for region, row in summary.items():
        table.add_row(
            region,
            *(f"{row[key]:.3f}" for key in ("dice", "dice_sd", "dice_min")),
            f"{row['area_ratio']:.2f}",
            f"{row['posterior_mm']:+.1f}",
            f"{row['lateral_mm']:+.1f}",
        )
    mean: Any = np.mean([row["dice"] for row in summary.values()])
    table.add_section()
    table.add_row("mean", f"{mean:.3f}")
    return table


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )
