"""``aspects-node atlas``: install, list and verify atlas sets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table

from atlases.catalog import CatalogEntry
from atlases.entry import entry_of
from atlases.errors import AtlasError
from atlases.folders import EMBEDDED, default_data_folder, find_atlas, known_sets
from atlases.install import entry_to_install, install
from atlases.verify import FileState, check_files, require_intact
from node.commands.lazy import LazyGroup

_FAILED: Final = 2
_STYLES: Final = {FileState.OK: "green", FileState.MISSING: "yellow", FileState.ALTERED: "red"}

_Parameters = ParamSpec("_Parameters")

_data_option = click.option(
    "--data",
    "data_folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_data_folder,
    show_default="$ASPECTS_NODE_DATA, else ~/.local/share/aspects-node",
    help="Folder in which installed atlas sets lie.",
)


def exit_on_atlas_error(command: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
    """Turn an AtlasError into its message on stderr and exit status 2."""

    @wraps(command)
    def wrapped(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except AtlasError as error:
            click.echo(f"error [{error.code}]: {error}", err=True)
            sys.exit(_FAILED)

    return wrapped


_COMMANDS: Final = {
    "build": "node.commands.atlas_build:build_command",
    "compare": "node.commands.atlas_compare:compare_command",
    "install": "node.commands.atlas:install_command",
    "list": "node.commands.atlas:list_command",
    "quality": "node.commands.atlas_quality:quality_command",
    "verify": "node.commands.atlas:verify_command",
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def atlas() -> None:
    """Install, list, verify and judge atlas sets."""


@click.command("install")
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that holds the files, instead of a download.",
)
@_data_option
@exit_on_atlas_error
def install_command(name: str, source: Path | None, data_folder: Path) -> None:
    """Put the atlas set NAME into the data folder, every file checked.

    NAME is a published set, or one that was built and lies in --from.

    Without --from the files come from the folder in $ASPECTS_NODE_ATLAS_SOURCE
    where that is set, else from ../shared/data beside the checkout where it is
    there, else from the public repository.
    """
    entry = entry_to_install(name, source)
    with _progress() as progress:
        task = progress.add_task(f"{name} {entry.version}", total=len(entry.files))
        folder = install(name, data_folder, source=source, on_file=lambda _: progress.advance(task))
    click.echo(f"{name} {entry.version} ({entry.licence}) is installed in {folder}")


@click.command("list")
@_data_option
@exit_on_atlas_error
def list_command(data_folder: Path) -> None:
    """List the atlas sets that are known, and which are installed."""
    table = Table("name", "version", "licence", "state", Column("cite as", overflow="fold"))
    for folder, entry in known_sets(data_folder).items():
        state = "embedded" if folder == EMBEDDED else _state_of_set(entry, folder)
        table.add_row(entry.name, entry.version, entry.licence, state, entry.citation)
    console = Console()
    console.print(table)
    console.print(f"data folder: {data_folder}", soft_wrap=True, markup=False, highlight=False)


@click.command("verify")
@click.argument("name", default="aspects-281")
@_data_option
@exit_on_atlas_error
def verify_command(name: str, data_folder: Path) -> None:
    """Check every file of the installed atlas set NAME against its pinned hash."""
    folder = find_atlas(name, data_folder)
    entry = entry_of(folder)
    table = Table("file", "sha256", "state", title=f"{name} {entry.version}")
    for check in check_files(entry, folder):
        style = _STYLES[check.state]
        table.add_row(check.name, entry.files[check.name][:12], f"[{style}]{check.state}[/]")
    Console().print(table)
    require_intact(entry, folder)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        console=Console(stderr=True),
        transient=True,
    )


def _state_of_set(entry: CatalogEntry, folder: Path) -> str:
    if not folder.is_dir():
        return "not installed"
    bad = [check for check in check_files(entry, folder) if check.state is not FileState.OK]
    return f"[red]damaged: {len(bad)} files[/]" if bad else "[green]installed[/]"
