"""``aspects-node atlas build``: an atlas set from a cohort."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from atlases.construct.build import Key, Order, build
from atlases.construct.cohort import LEAVE_OUT, read_cohort
from atlases.construct.curve import draw_curve
from atlases.construct.recipe import Recipe
from atlases.construct.template import Movement, Sharpening
from atlases.read import load_atlas_set
from node.commands.atlas import exit_on_atlas_error
from pipeline.atlas import AgeGroup, AtlasSet
from pipeline.registration_pairs import Engine

_CURVE = "deformation.png"
_folder = click.Path(file_okay=False, path_type=Path)


@click.command("build")
@click.argument("cohort", type=_folder)
@click.option("--out", type=_folder, required=True, help="Folder for the atlas set.")
@click.option("--name", help="Name of the atlas set in every report; that of the folder.")
@click.option(
    "--engine",
    type=click.Choice([item.value for item in Engine]),
    default=Engine.GREEDY.value,
    show_default=True,
    help="What registers: greedy is fast, ants is what the paper used.",
)
@click.option("--initial", help="Subject to start from; without it, the mean of all and mirrored.")
@click.option("--iterations", type=click.IntRange(1), default=4, show_default=True)
@click.option(
    "--sharpen",
    type=click.Choice([item.value for item in Sharpening]),
    default=Sharpening.UNSHARP.value,
    show_default=True,
    help="How the template of each round is sharpened; laplacian is what ANTs does.",
)
@click.option("--grid-mm", type=click.FloatRange(0.25, 2), default=0.5, show_default=True)
@click.option(
    "--age-group",
    type=click.Choice([item.value for item in AgeGroup]),
    help="Where subjects go whose age is not known.",
)
@click.option(
    "--leave-out",
    default=",".join(LEAVE_OUT),
    show_default=True,
    help="Flags that leave a subject out, as haemorrhage and fracture do.",
)
@click.option(
    "--regions-from", type=_folder, help="Atlas set whose regions are fused, not the subjects' own."
)
@click.option(
    "--fit-to", type=_folder, help="Atlas set that gives the size: for unknown pixel spacing."
)
@click.option("--licence", default="not stated", help="For the manifest.")
@click.option("--citation", default="not stated", help="For the manifest.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; as many as there are processors.")
@exit_on_atlas_error
def build_command(
    cohort: Path,
    out: Path,
    name: str | None,
    engine: str,
    initial: str | None,
    iterations: int,
    sharpen: str,
    grid_mm: float,
    age_group: str | None,
    leave_out: str,
    regions_from: Path | None,
    fit_to: Path | None,
    licence: str,
    citation: str,
    jobs: int | None,
) -> None:
    """Build an atlas set from the heads in the folder COHORT.

    COHORT holds levels.csv (pid, bgl, sgl; optional age, hemorrhage, fracture,
    flags) and for each subject pid.nii.gz or a folder pid of DICOM images, and
    where there are any, its regions as pid_regions.nii.gz.

    Stopped, it goes on where it was. The same heads and options give the same
    files.
    """
    order = Order(
        name=name or out.resolve().name,
        licence=licence,
        citation=citation,
        cohort=read_cohort(cohort, [flag.strip() for flag in leave_out.split(",")]),
        recipe=Recipe(
            engine=Engine(engine),
            initial=initial,
            iterations=iterations,
            sharpening=Sharpening(sharpen),
            grid_mm=grid_mm,
        ),
        unknown_age=None if age_group is None else AgeGroup(age_group),
        fit_to=_atlas_set(fit_to),
        drawings=_atlas_set(regions_from),
    )
    start = time.monotonic()
    with _progress() as progress:
        task = progress.add_task(order.name, total=order.steps)
        movements = build(
            order, out, jobs=jobs or os.cpu_count() or 1, on_step=lambda: progress.advance(task)
        )
    draw_curve(movements).save(out / _CURVE)
    built = load_atlas_set(out)
    _print(movements)
    click.echo(
        f"{built.name} {built.version}: {len(order.cohort.subjects)} subjects, "
        f"{len(order.cohort.left_out)} left out, {time.monotonic() - start:.0f} s, "
        f"at most {_peak_mib():.0f} MiB a process, in {out}"
    )


def _atlas_set(folder: Path | None) -> AtlasSet | None:
    return None if folder is None else load_atlas_set(folder)


def _peak_mib() -> float:
    used = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in used) / 1024


def _print(movements: dict[Key, tuple[Movement, ...]]) -> None:
    table = Table("age", "level", "round", "deformation mm", "shape update mm")
    for (group, level), rounds in movements.items():
        for number, one in enumerate(rounds, start=1):
            table.add_row(
                group, level, str(number), f"{one.deformation_mm:.3f}", f"{one.update_mm:.3f}"
            )
    Console().print(table)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
