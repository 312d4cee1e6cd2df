"""``aspects-node bench pipeline``: seconds for each stage on one series."""

from __future__ import annotations

import json
import resource
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from node.commands.method_options import atlas_at, bench_atlas_options
from node.commands.phantom_series import MOMENT, write_phantom
from node.compute import compute
from node.job import Ending, Job


@click.command()
@click.option("--runs", default=20, show_default=True, type=click.IntRange(1), help="Timed runs.")
@click.option(
    "--ct",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a series, instead of a phantom of 32 slices of 512 x 512.",
)
@bench_atlas_options
def pipeline(runs: int, ct: Path | None, atlas: str, data: Path | None) -> None:
    """Time every stage of the pipeline on one series, warm.

    The last line is one JSON object: p50 and p95 in seconds by stage and in
    all, and the peak memory of the process.
    """
    folder = atlas_at(atlas, data)
    with TemporaryDirectory() as scratch:
        source = ct or write_phantom(Path(scratch) / "ct")
        job = Job(
            paths=tuple(sorted(path for path in source.iterdir() if path.is_file())),
            out=Path(scratch) / "out",
            atlas_folder=folder,
            now=MOMENT,
        )
        first = compute(job)
        if first.ending is not Ending.DONE:
            raise click.ClickException(f"the series was rejected ({first.code}): {first.reason}")
        seconds = _timed(job, runs)
    _report(seconds)


def _timed(job: Job, runs: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in track(range(runs), description="runs", console=Console(stderr=True)):
        start = time.perf_counter()
        outcome = compute(job)
        seconds["total"].append(time.perf_counter() - start)
        for stage, value in (outcome.timings_s or {}).items():
            seconds[stage].append(value)
    return seconds


def _report(seconds: dict[str, list[float]]) -> None:
    figures = {
        stage: {f"p{rank}": round(float(np.percentile(values, rank)), 3) for rank in (50, 95)}
        for stage, values in seconds.items()
    }
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table = Table(title=f"Seconds for one series, {len(seconds['total'])} runs")
    for name in ("stage", "p50", "p95"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage, values in figures.items():
        table.add_row(stage, f"{values['p50']:.2f}", f"{values['p95']:.2f}")
    console = Console()
    console.print(table)
    console.print(f"peak memory {peak_mib:.0f} MiB")
    click.echo(json.dumps({"seconds": figures, "peak_mib": round(peak_mib)}))
