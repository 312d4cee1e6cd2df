"""``aspects-node bench scale``: what the engine costs, and series an hour by workers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from node import scale as measuring
from node.commands.method_options import atlas_at, bench_atlas_options
from node.commands.phantom_series import write_phantom
from node.scale import Rig

_ALONE: Final = 20

_Figures = dict[str, dict[str, float]]


@click.command()
@click.option(
    "--database",
    help="PostgreSQL to share the work by, postgresql+psycopg://USER@HOST/DATABASE; a database "
    "is made beside it and dropped. Left out: the node's own SQLite.",
)
@click.option(
    "--queued", default=(1, 100, 10_000), show_default=True, multiple=True,
    type=click.IntRange(1), help="So many series wait while the engine is measured.",
)  # fmt: skip
@click.option("--runs", default=100, show_default=True, type=click.IntRange(2), help="Measured.")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of them the median."
)
@click.option(
    "--workers", default=(1, 2, 4), show_default=True, multiple=True, type=click.IntRange(1),
    help="So many processes compute.",
)  # fmt: skip
@click.option(
    "--series", default=8, show_default=True, type=click.IntRange(0),
    help="Series that they compute; 0: the engine alone is measured.",
)  # fmt: skip
@bench_atlas_options
def scale(
    database: str | None,
    queued: tuple[int, ...],
    runs: int,
    rounds: int,
    workers: tuple[int, ...],
    series: int,
    atlas: str,
    data: Path | None,
) -> None:
    """Measure the engine's own seconds for a series, and series an hour by workers.

    The series are phantoms of 32 slices. Efficiency is against the first number of
    workers, for each processor that they have. The last line is one JSON object.
    """
    rig = Rig(folder=Path(), atlas_folder=atlas_at(atlas, data), database=database)
    engine = _overheads(rig, queued, runs, rounds)
    rates = _series_rates(rig, workers, series) if series else {}
    _report("PostgreSQL" if database else "SQLite", engine, rates)


def _overheads(rig: Rig, queued: tuple[int, ...], runs: int, rounds: int) -> _Figures:
    """Measure each length of the queue in turn, so that all meet the same machine."""
    found: dict[str, list[dict[str, float]]] = {str(number): [] for number in queued}
    for number in track(queued * rounds, "queued", console=Console(stderr=True)):
        with TemporaryDirectory(prefix="aspects-node-bench-") as scratch:
            measured = _ALONE if number == 1 else runs
            found[str(number)].append(measuring.overhead(_in(rig, scratch), number, measured))
    return {
        number: {key: median(item[key] for item in items) for key in items[0]}
        for number, items in found.items()
    }


def _series_rates(rig: Rig, workers: tuple[int, ...], series: int) -> _Figures:
    rates = {}
    for number in track(workers, "workers", console=Console(stderr=True)):
        with TemporaryDirectory(prefix="aspects-node-bench-") as scratch:
            here = _in(rig, scratch, number, write_phantom(Path(scratch) / "ct"))
            rates[str(number)] = measuring.rate(here, series)
    return rates


def _in(rig: Rig, scratch: str, workers: int = 1, images: Path | None = None) -> Rig:
    folder = Path(scratch) / "data"
    folder.mkdir()
    return Rig(
        folder=folder,
        atlas_folder=rig.atlas_folder,
        database=rig.database,
        workers=workers,
        images=images,
    )


def _report(name: str, engine: _Figures, rates: _Figures) -> None:
    found: dict[str, Any] = {"database": name, "cores": os.cpu_count(), "engine": engine}
    table = Table(title=f"The engine's own time for a series, {name}")
    keys = {"ms a series": "series_s", "CPU ms": "cpu_s", "ms to enqueue": "enqueue_s"}
    for column in ("queued", *keys):
        table.add_column(column, justify="right")
    for number, item in engine.items():
        cells = (f"{1000 * item[key]:.1f}" if key in item else "" for key in keys.values())
        table.add_row(number, *cells)
    if {"100", "10000"} <= engine.keys():
        found["ratio"] = round(engine["10000"]["series_s"] / engine["100"]["series_s"], 3)
        table.caption = f"10,000 to 100 queued: {found['ratio']}"
    console = Console()
    console.print(table)
    if rates:
        found |= {"rates": rates, "efficiency": _efficiency(rates)}
        console.print(_rates(found))
    click.echo(json.dumps(found))


def _efficiency(rates: _Figures) -> dict[str, float]:
    """Return the rate for each processor in use, against the first number of workers."""
    each = {
        number: item["series_per_hour"] / min(int(number), os.cpu_count() or 1)
        for number, item in rates.items()
    }
    first = next(iter(each.values()))
    return {number: round(value / first, 3) for number, value in each.items()}


def _rates(found: dict[str, Any]) -> Table:
    table = Table(title=f"Series an hour, {found['cores']} processors")
    for column in ("workers", "series an hour", "efficiency", "CPU s a series"):
        table.add_column(column, justify="right")
    for number, item in found["rates"].items():
        rate, share = item["series_per_hour"], found["efficiency"][number]
        table.add_row(number, f"{rate:.0f}", f"{share:.2f}", f"{item['cpu_s']:.2f}")
    return table
