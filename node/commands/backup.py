"""``aspects-node backup``."""

from __future__ import annotations

from pathlib import Path

import click

from node.backup import back_up
from node.commands.shared import config_option, fail, read_config
from node.errors import ConfigError


@click.command()
@config_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder that is made for it."
)
def backup(config_file: Path, out: Path) -> None:
    """Copy the data folder so that a node goes on from the copy.

    The node may run. To restore, put the copy in place of the data folder and
    start the node: what was unfinished goes on. Exit code 1: it could not be
    copied; a copy that is whole has the file backup.json.
    """
    config = read_config(config_file)
    try:
        copied = back_up(config.data_folder, out)
    except ConfigError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", 1)
    click.echo(f"{copied.files} files, {copied.bytes / (1 << 20):.1f} MiB in {out}")
