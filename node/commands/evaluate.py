"""``aspects-node evaluate``: the method and readers on labelled cases."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from atlases.errors import AtlasError
from node.choices import BrainName, RegistrationName
from node.commands.method_options import atlas_at, atlas_options, method_options
from node.commands.shared import fail
from node.compute import load_tools
from node.evaluation.cases import THE_READER, Case, read_cases
from node.evaluation.errors import CaseError
from node.evaluation.files import write_map_slices, write_summary, write_tables
from node.evaluation.heads import open_head
from node.evaluation.measure import Measured, Settings, measure_case
from node.evaluation.predict import FOUND, GIVEN, TAKEN, Predictions
from node.evaluation.report import write_report
from node.evaluation.summary import Summary, summarise_cases
from pipeline.errors import SeriesError
from pipeline.model_card import WeightsError
from pipeline.registration import Method

_METHODS: Final = {"given": (GIVEN,), "found": (FOUND,), "both": (GIVEN, FOUND)}
_LIBRARIES: Final = ("SimpleITK", "surface-distance", "scipy", "statsmodels", "numpy")
_folder: Final = click.Path(exists=True, file_okay=False, path_type=Path)

_Item = TypeVar("_Item")


@click.command()
@click.argument("cases", type=_folder)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.html, report.json, the tables and the maps.",
)
@click.option(
    "--predictions",
    type=_folder,
    help="Take the method's results from this folder: PID/seg.dcm, or label maps.",
)
@click.option(
    "--levels",
    type=click.Choice([*_METHODS]),
    default="both",
    show_default=True,
    help="Map the true slices, those that the method finds, or both.",
)
@click.option("--reference", help="Reader whose regions are the truth; by default the first.")
@click.option("--by-age", is_flag=True, help="Map each case with the atlas of each age group, too.")
@click.option(
    "--pictures",
    type=click.IntRange(0),
    default=6,
    show_default=True,
    help="Cases to show in the report, from the worst to the best.",
)
@click.option("--seed", type=int, default=281, show_default=True, help="Of the bootstrap.")
@method_options
@atlas_options
def evaluate(
    cases: Path,
    out: Path,
    predictions: Path | None,
    levels: str,
    reference: str | None,
    by_age: bool,
    pictures: int,
    seed: int,
    registration: RegistrationName,
    brain: BrainName,
    atlas: str | None,
    data: Path | None,
) -> None:
    """Compare the method with the regions and levels that people drew.

    CASES holds levels.csv and for each case the CT and the regions of one or
    several readers; README.md tells how they are named. Prints a table; the last
    line is one JSON object, the same as report.json. Name the cases without
    naming patients: the names are in the report.
    """
    try:
        found = read_cases(cases)
        settings = Settings(
            reference=_reference(found, reference),
            source=Predictions(predictions) if predictions else load_tools(atlas_at(atlas, data)),
            methods=(TAKEN,) if predictions else _METHODS[levels],
            by_age=by_age,
            registration=Method(registration),
            brain=brain,
            maps=out / "maps",
        )
        _check(found, settings)
        measured = [measure_case(case, settings) for case in _tracked(found, "cases")]
    except (CaseError, AtlasError, WeightsError) as error:
        fail(f"error: {error}")
    told = _told(settings, levels, seed)
    summary = summarise_cases(measured, settings, seed)
    try:
        content = _write(out, measured, summary, told, pictures)
    except OSError as error:
        fail(f"error: {out} cannot be written ({error.strerror})")
    _print(summary, out)
    click.echo(json.dumps(content))


def _reference(cases: Sequence[Case], named: str | None) -> str | None:
    readers = sorted({reader for case in cases for reader in case.drawings})
    if named is not None and named not in readers:
        raise CaseError(f"no reader is called {named!r}; there are: {', '.join(readers) or 'none'}")
    if named is not None or THE_READER in readers:
        return named or THE_READER
    return readers[0] if readers else None


def _check(cases: Sequence[Case], settings: Settings) -> None:
    """Read every drawing before the long work: a slip is told at once."""
    for case in _tracked(cases, "checking"):
        try:
            head = open_head(case, settings.reference)
        except SeriesError:
            continue  # a result, not a slip
        if isinstance(settings.source, Predictions):
            settings.source.read(head)


def _told(settings: Settings, levels: str, seed: int) -> dict[str, str]:
    """Return what the report says about how it was made."""
    if isinstance(settings.source, Predictions):
        source = "results in a folder"
    else:
        atlas = settings.source.atlases
        source = f"atlas set {atlas.name} {atlas.version}; registration {settings.registration}; "
        source += f"brain {settings.brain}; levels: {levels}"
    return {
        "version": version("aspects-node"),
        "method": source,
        "reference": settings.reference or "none",
        "seed": str(seed),
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
    }


def _write(
    out: Path,
    measured: Sequence[Measured],
    summary: Summary,
    told: dict[str, str],
    pictures: int,
) -> dict[str, object]:
    out.mkdir(parents=True, exist_ok=True)
    write_tables(out, measured, summary)
    write_map_slices(out / "maps", measured)
    write_report(out / "report.html", measured, summary, told, pictures)
    return write_summary(out / "report.json", summary, told)


def _print(summary: Summary, out: Path) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    if summary.regions:
        names = ("n", "missed", "Dice", "95 %", "HD95 mm", "mean mm", "area ratio", "centroid mm")
        table = Table("reader", "region", *(Column(name, justify="right") for name in names))
        for row in summary.regions:
            if row.side is None:
                numbers = (row.metrics[key].mean for key in _SHOWN)
                table.add_row(
                    row.reader,
                    row.region,
                    str(row.metrics["dsc"].n),
                    str(row.missed),
                    _number(row.metrics["dsc"].mean, 3),
                    _interval(row.metrics["dsc"].interval),
                    *(_number(value, 2) for value in numbers),
                )
        console.print(table)
    if summary.levels:
        console.print(_level_table(summary))
    for method, codes in summary.refused.items():
        console.print(f"rejected, {method}: {codes}", highlight=False)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True, markup=False, highlight=False)


_SHOWN: Final = ("hd95_mm", "msd_mm", "area_ratio", "centroid_mm")


def _level_table(summary: Summary) -> Table:
    names = ("n", "exact", "within one", "IS-RDE mm", "signed mm")
    table = Table("reader", "level", *(Column(name, justify="right") for name in names))
    for row in summary.levels:
        table.add_row(
            row.reader,
            row.level,
            str(row.summary.heads),
            f"{row.summary.exact:.1%}",
            f"{row.summary.within_one:.1%}",
            f"{row.summary.is_rde_mm:.2f}",
            f"{row.summary.signed_mm:+.2f}",
        )
    return table


def _interval(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return "–" if math.isnan(low) else f"{low:.3f}–{high:.3f}"


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _tracked(items: Sequence[_Item], what: str) -> Iterator[_Item]:
    """Yield the items and show how far the work is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=len(items), description=what)
