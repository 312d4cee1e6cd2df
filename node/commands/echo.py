"""``aspects-node echo``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from node.commands.shared import config_option, fail, read_config
from node.errors import ConfigError, PeerError


@click.command()
@click.argument("peer")
@config_option
def echo(peer: str, config_file: Path) -> None:
    """Ask PEER, by its name in the configuration, whether it is there (C-ECHO).

    Exit code 1: it does not answer. Exit code 2: there is no such peer.
    """
    from node import scu

    config = read_config(config_file)
    try:
        found = config.peer(peer)
        start = time.monotonic()
        scu.echo(config, found)
    except ConfigError as error:
        fail(str(error))
    except PeerError as error:
        fail(f"{error.code}: {error}", code=1)
    milliseconds = 1000 * (time.monotonic() - start)
    click.echo(f"{peer} ({found.ae_title} at {found.host}:{found.port}): {milliseconds:.0f} ms")
