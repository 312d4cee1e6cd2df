"""The command ``aspects-node process``: the pipeline without a network."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from atlases.errors import AtlasError
from node.choices import (
    BrainName,
    Choices,
    RegistrationName,
)
from node.commands.method_options import atlas_at, atlas_options, method_options
from node.compute import Ending, Job, Outcome, compute
from node.objects import DEFAULT_OBJECTS, OBJECT_NAMES

_EXIT_REJECTED = 3
_EXIT_USE = 2
_LEVELS_CODE: Final = "levels"


class _ObjectsType(click.ParamType[tuple[str, ...]]):
    name = "LIST"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        names = tuple(part.strip() for part in value.split(","))
        if unknown := [name for name in names if name not in OBJECT_NAMES]:
            self.fail(f"{unknown[0]!r} is none of {', '.join(OBJECT_NAMES)}", param, ctx)
        return names


class _LevelsType(click.ParamType[tuple[int, int]]):
    name = "G,S"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        try:
            ganglionic, supraganglionic = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not two slice indices such as 16,20", param, ctx)
        if not 0 <= ganglionic < supraganglionic:
            self.fail("0 <= ganglionic < supraganglionic is needed", param, ctx)
        return ganglionic, supraganglionic


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the objects, levels.png and result.json.",
)
@click.option(
    "--objects",
    type=_ObjectsType(),
    default=",".join(DEFAULT_OBJECTS),
    show_default=True,
    help=f"What to make, of {', '.join(OBJECT_NAMES)}.",
)
@click.option("--age", type=click.FloatRange(0, 130), help="Age in years, instead of the images'.")
@click.option(
    "--levels",
    type=_LevelsType(),
    help="Ganglionic and supraganglionic slice, 0-based from inferior to superior.",
)
@method_options
@click.option(
    "--all-slices",
    is_flag=True,
    help="Carry the regions to the slices about each level, too.",
)
@click.option(
    "--asymmetry-flags",
    is_flag=True,
    help="Mark regions that are darker than the other side, for review.",
)
@atlas_options
@click.option(
    "--content-time",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
    help="UTC date and time for the objects, instead of now; same input, same bytes.",
)
def process(
    folder: Path,
    out: Path,
    objects: tuple[str, ...],
    age: float | None,
    levels: tuple[int, int] | None,
    registration: RegistrationName,
    brain: BrainName,
    all_slices: bool,
    asymmetry_flags: bool,
    atlas: str | None,
    data: Path | None,
    content_time: datetime | None,
) -> None:
    """Map the regions of the head CT in FOLDER and write SEG, SR and pictures.

    Exit status: 0 done, 3 the series was rejected (why is in result.json),
    2 wrong use, levels that the series has not, no atlas, or a file that cannot
    be read or written.
    """
    try:
        atlas_folder = atlas_at(atlas, data)
        now = datetime.now(UTC) if content_time is None else content_time.replace(tzinfo=UTC)
        outcome = compute(
            Job(
                paths=_files(folder, out),
                out=out,
                atlas_folder=atlas_folder,
                now=now,
                age_years=age,
                levels=levels,
                objects=objects,
                choices=Choices(
                    registration=registration,
                    brain=brain,
                    all_slices=all_slices,
                    asymmetry_flags=asymmetry_flags,
                ),
            )
        )
    except (AtlasError, OSError) as error:
        Console(stderr=True).print(f"[red]{error}[/red]", soft_wrap=True)
        sys.exit(_EXIT_USE)
    _report(outcome, out)
    if outcome.ending is Ending.REJECTED:
        sys.exit(_EXIT_USE if outcome.code == _LEVELS_CODE else _EXIT_REJECTED)


def _files(folder: Path, out: Path) -> tuple[Path, ...]:
    """List the files of a folder, but not the results of an earlier run in it."""
    if not folder.is_dir():
        return (folder,)
    results = out.resolve()
    own_results = results != folder.resolve()
    return tuple(
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (own_results and path.resolve().is_relative_to(results))
    )


def _report(outcome: Outcome, out: Path) -> None:
    console = Console()
    if outcome.ending is Ending.REJECTED:
        Console(stderr=True).print(f"rejected ({outcome.code}): {outcome.reason}", soft_wrap=True)
        return
    table = Table(title=f"Quality: {outcome.quality}")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for stage, seconds in (outcome.timings_s or {}).items():
        table.add_row(stage, f"{seconds:.2f}")
    console.print(table)
    console.print(f"{', '.join(outcome.objects)}, levels.png and result.json are in {out}")
