"""``aspects-node bench registration``: ours, affine only, and ANTs as the paper calls it."""

from __future__ import annotations

import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from atlases.read import load_atlas_set
from node.commands.method_options import atlas_at, bench_atlas_options
from pipeline.cross_age import mean_by_region, score_pairs
from pipeline.registration import Method

_NAMES: Final = {"ours": Method.GREEDY, "affine": Method.AFFINE, "paper": Method.ANTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Score:
    mean_dsc: float
    seconds_per_slice: float
    peak_mib: float
    by_region: dict[str, float]


@click.command()
@bench_atlas_options
def registration(atlas: str, data: Path | None) -> None:
    """Carry labels between the age groups of an atlas and compare the methods.

    Every ordered pair of age groups at both levels: 24 registrations for each
    method. Dice of both sides together, averaged over pairs, then over the ten
    regions. The last line is one JSON object.
    """
    folder = atlas_at(atlas, data)
    console = Console(stderr=True)
    scores: dict[str, _Score] = {}
    with Progress(console=console) as progress:
        task = progress.add_task("methods", total=len(_NAMES))
        for name, method in _NAMES.items():
            # a process each, so that peak memory is the method's own
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                scores[name] = pool.submit(_measure, folder, method).result()
            progress.advance(task)
    Console().print(_table(scores))
    click.echo(json.dumps({name: _rounded(score) for name, score in scores.items()}))


def _measure(folder: Path, method: Method) -> _Score:
    found = list(score_pairs(load_atlas_set(folder), method, time.perf_counter))
    by_region = mean_by_region(found)
    return _Score(
        mean_dsc=sum(by_region.values()) / len(by_region),
        seconds_per_slice=sum(score.seconds for score in found) / len(found),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        by_region={str(region): dsc for region, dsc in by_region.items()},
    )


def _rounded(score: _Score) -> dict[str, Any]:
    values = asdict(score)
    values["by_region"] = {name: round(dsc, 4) for name, dsc in score.by_region.items()}
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _table(scores: dict[str, _Score]) -> Table:
    table = Table(title="Labels carried between age groups: mean Dice")
    table.add_column("region")
    for name in scores:
        table.add_column(name, justify="right")
    for region in next(iter(scores.values())).by_region:
        table.add_row(region, *(f"{score.by_region[region]:.3f}" for score in scores.values()))
    table.add_section()
    table.add_row("mean", *(f"{score.mean_dsc:.4f}" for score in scores.values()))
    table.add_row("s / slice", *(f"{score.seconds_per_slice:.2f}" for score in scores.values()))
    table.add_row("peak MiB", *(f"{score.peak_mib:.0f}" for score in scores.values()))
    return table
