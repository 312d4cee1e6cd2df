"""What several commands need."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import click

from node.config import NodeConfig, load_config
from node.errors import ConfigError
from node.state import SeriesRecord, read_records

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("aspects-node.toml"),
    envvar="ASPECTS_NODE_CONFIG",
    show_default=True,
    show_envvar=True,
    help="Configuration file, TOML.",
)
"""The option ``--config FILE``, else ``$ASPECTS_NODE_CONFIG``."""


def read_config(path: Path) -> NodeConfig:
    """Read the configuration; end with exit code 2 where it is wrong."""
    try:
        return load_config(path)
    except ConfigError as error:
        fail(str(error))


def read_series(config: NodeConfig) -> list[SeriesRecord]:
    """Read the records of all series; end with exit code 2 where they are of a newer version."""
    try:
        return read_records(config.data_folder / "series")
    except ConfigError as error:
        fail(str(error))


def fail(message: str, code: int = 2) -> NoReturn:
    """Say what is wrong on standard error and end the command."""
    click.echo(message, err=True)
    raise SystemExit(code)


def system_tool(name: str) -> str | None:
    """Return the path of a system tool, such as dcmtk's ``storescu``, or None.

    pynetdicom has scripts of the same names, in whatever virtual environment
    is active: what begins as a script is passed over.
    """
    for folder in (*os.get_exec_path(), "/usr/sbin"):
        found = shutil.which(name, path=folder)
        if found and not Path(found).read_bytes().startswith(b"#!"):
            return found
    return None
