"""``aspects-node serve``."""

from __future__ import annotations

from pathlib import Path

import click

from atlases.errors import AtlasError
from node.commands.shared import config_option, fail, read_config
from node.errors import ConfigError
from node.logs import set_up_logs
from node.service import COMPUTE, Role
from node.service import serve as run_node


@click.command()
@config_option
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    default="all",
    show_default=True,
    help="Receive alone, compute for nodes that do ([work]), show the pages, or all in one.",
)
@click.option("--compute", default=COMPUTE, hidden=True, help="Computation, module:function.")
def serve(config_file: Path, role: str, compute: str) -> None:
    """Receive series, compute them and send the results back.

    Runs until SIGTERM or SIGINT. Logs go to standard error, one JSON object a
    line. Exit code 2: the configuration or the atlas cannot be used.
    """
    config = read_config(config_file)
    set_up_logs(config.log_level)
    try:
        run_node(config, compute, Role(role))
    except (ConfigError, AtlasError) as error:
        fail(str(error))
