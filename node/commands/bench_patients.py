"""``aspects-node bench patients``: simulated patients, healthy and with an infarct."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from atlases.read import load_atlas_set
from node.commands.method_options import atlas_at, bench_atlas_options
from pipeline.patient_trial import PatientScore, score_patients
from pipeline.regions import Level
from pipeline.registration import Method

_BOTH: Final = "both"


@click.command()
@bench_atlas_options
@click.option(
    "--patients", type=click.IntRange(1), default=2, show_default=True, help="For each pair."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--method",
    type=click.Choice([item.value for item in Method]),
    default=Method.GREEDY.value,
    show_default=True,
)
def patients(atlas: str, data: Path | None, patients: int, seed: int, method: str) -> None:
    """Map patients made from one age group with the atlas of another.

    Their anatomy is bent by B-splines, left and right apart, with 3-5 HU of
    noise; once healthy, once with 4-10 HU of hypodensity in one to six regions
    of one side. The last line is one JSON object.
    """
    atlases = load_atlas_set(atlas_at(atlas, data))
    total = len(atlases.groups) * (len(atlases.groups) - 1) * len(Level) * patients
    scores = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("patients", total=total)
        for score in score_patients(atlases, Method(method), patients, seed):
            scores.append(score)
            progress.advance(task)
    rows = {str(level): [item for item in scores if item.level is level] for level in Level}
    report = {name: _summary(items) for name, items in (rows | {_BOTH: scores}).items()}
    Console().print(_table(report))
    click.echo(json.dumps({"method": method, "seed": seed} | report))


def _summary(scores: Sequence[PatientScore]) -> dict[str, float]:
    healthy = np.array([score.healthy_dsc for score in scores])
    ischaemic = np.array([score.ischaemic_dsc for score in scores])
    drop = healthy - ischaemic
    return {
        "patients": len(scores),
        "healthy_dsc": round(float(healthy.mean()), 4),
        "ischaemic_dsc": round(float(ischaemic.mean()), 4),
        "drop": round(float(drop.mean()), 4),
        "drop_median": round(float(np.median(drop)), 4),
        "drop_largest": round(float(drop.max()), 4),
    }


def _table(report: dict[str, dict[str, float]]) -> Table:
    columns = list(report[_BOTH])
    table = Table("level", *columns, title="Simulated patients: mean Dice")
    for name, row in report.items():
        table.add_row(name, *(f"{row[column]:g}" for column in columns))
    return table
