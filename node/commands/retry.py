"""``aspects-node retry``, ``resend``, ``reprocess`` and ``cancel``."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from node.commands.shared import config_option, fail, read_config, read_series
from node.requests import refusal, request
from node.state import SeriesRecord

_series = click.argument("series")


@click.command()
@_series
@config_option
def retry(series: str, config_file: Path) -> None:
    """Try SERIES again, by its SeriesInstanceUID.

    A rejected or failed series is computed again; results that could not be
    delivered are offered again, now. The running node does it at once, a
    stopped one when it starts. Exit code 1: there is nothing to try again.
    """
    _ask(config_file, "retry", series)
    click.echo(f"series {series} will be tried again")


@click.command()
@_series
@click.option("--to", "destination", default="", help="One destination; else all.")
@config_option
def resend(series: str, destination: str, config_file: Path) -> None:
    """Send the results of SERIES again, whether they were accepted or not.

    The objects and their UIDs are the same. Exit code 1: there are none.
    """
    _ask(config_file, "resend", series, destination)
    click.echo(f"the results of series {series} will be sent again")


@click.command()
@_series
@click.option(
    "--levels",
    default="",
    help="Ganglionic and supraganglionic slice G,S, 0-based from inferior to superior.",
)
@config_option
def reprocess(series: str, levels: str, config_file: Path) -> None:
    """Compute SERIES again from its images and send what comes of it.

    Of the same version the results have the same UIDs; of another they are new
    and name those of before as predecessors. Slices that a person chose hold
    until others are chosen, or more images come. Exit code 1: it is at work.
    """
    _ask(config_file, "levels" if levels else "reprocess", series, levels)
    click.echo(f"series {series} will be computed again")


@click.command()
@_series
@config_option
def cancel(series: str, config_file: Path) -> None:
    """Stop the work on SERIES, and offer its results no more.

    Images and results are kept; retry takes it up again. Exit code 1: there is
    nothing to stop.
    """
    _ask(config_file, "cancel", series)
    click.echo(f"the work on series {series} will be stopped")


def _ask(config_file: Path, verb: str, series: str, argument: str = "") -> None:
    """Ask the node for something, or end the command."""
    folder, record = _find(config_file, series)
    if why := refusal(record, verb, argument):
        fail(f"series {series}: {why}", code=1)
    request(folder, verb, series, argument, by=getpass.getuser())


def _find(config_file: Path, series: str) -> tuple[Path, SeriesRecord]:
    """Return the data folder and the record of a series, or end the command."""
    config = read_config(config_file)
    folder = config.data_folder
    for record in read_series(config):
        if record.series_uid == series:
            return folder, record
    fail(f"there is no series {series} in {folder}", code=1)
