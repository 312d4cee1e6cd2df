"""``aspects-node retry``."""

from __future__ import annotations

from pathlib import Path

import click

from node.commands.shared import config_option, fail, read_config
from node.service import request_retry
from node.state import State, read_records

_RETRIED = frozenset({State.REJECTED, State.FAILED, State.DELIVERING})


@click.command()
@click.argument("series")
@config_option
def retry(series: str, config_file: Path) -> None:
    """Try SERIES again, by its SeriesInstanceUID.

    A rejected or failed series is computed again; results that could not be
    delivered are offered again, now. The running node does it at once, a
    stopped one when it starts. Exit code 1: there is nothing to try again.
    """
    config = read_config(config_file)
    records = read_records(config.data_folder / "series")
    record = next((record for record in records if record.series_uid == series), None)
    if record is None:
        fail(f"there is no series {series} in {config.data_folder}", code=1)
    if record.state not in _RETRIED:
        fail(f"series {series} is {record.state}: nothing to try again", code=1)
    request_retry(config.data_folder, series)
    click.echo(f"series {series} will be tried again")
