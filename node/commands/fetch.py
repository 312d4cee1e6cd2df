"""``aspects-node fetch``."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node.commands.shared import config_option, fail, read_config
from node.errors import ConfigError, PeerError

if TYPE_CHECKING:
    from node.config import NodeConfig
    from node.peer import Peer
    from node.retrieve import FoundSeries

_POLL_S: Final = 0.2


@click.command()
@click.argument("peer")
@click.option("--study", default="", help="StudyInstanceUID.")
@click.option(
    "--accession",
    is_flag=True,
    help="Ask for the accession number on standard input: it is shown and kept nowhere.",
)
@click.option("--series", default="", help="SeriesInstanceUID; else all CT series.")
@click.option(
    "--wait", "wait_s", type=float, default=60.0, show_default=True, help="At most, in seconds."
)
@config_option
def fetch(
    peer: str, study: str, series: str, wait_s: float, config_file: Path, *, accession: bool
) -> None:
    """Fetch the CT series of a study from PEER; they are computed as if it had sent them.

    The running node does it at once, a stopped one when it starts. Exit code 1:
    the peer does not answer, or has no such series. Exit code 2: wrong use.
    """
    from node.fetching import wish

    config = read_config(config_file)
    if bool(study) == accession:
        fail("fetch needs either --study or --accession")
    try:
        found = config.peer(peer)
        study = study or _study_of(config, found)
        wanted = _wanted(config, found, study, series)
    except (ConfigError, ValueError) as error:
        fail(str(error))
    except PeerError as error:
        fail(f"{error.code}: {error}", code=1)
    wishes = [wish(config.data_folder, peer, item) for item in wanted]
    if not _is_running(config.data_folder):
        click.echo(f"{len(wishes)} series will be fetched when the node starts")
        return
    _wait(wishes, wait_s)


def _study_of(config: NodeConfig, peer: Peer) -> str:
    """Return the one study that has the accession number."""
    from node.retrieve import find_studies

    number = click.prompt("Accession number", hide_input=True, err=True)
    studies = find_studies(config, peer, number)
    if len(studies) != 1:
        fail(f"{peer.name} has {len(studies)} studies of that accession number", code=1)
    return studies[0]


def _wanted(
    config: NodeConfig, peer: Peer, study_uid: str, series_uid: str
) -> Sequence[FoundSeries]:
    from node.retrieve import find_series, is_uid

    if not is_uid(study_uid) or not (series_uid == "" or is_uid(series_uid)):
        raise ValueError("--study and --series are UIDs: digits and dots")
    found = find_series(config, peer, study_uid)
    # a series that was asked for by name need not say that it is CT
    wanted = [
        item
        for item in found
        if item.series_uid == series_uid or (not series_uid and item.modality == "CT")
    ]
    if not wanted:
        fail(f"{peer.name} has no such series: {len(found)} in study {study_uid}", code=1)
    return wanted


def _is_running(data_folder: Path) -> bool:
    """Tell whether a node works in the folder: it holds a lock there."""
    try:
        with (data_folder / "node.lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _wait(paths: Sequence[Path], wait_s: float) -> None:
    """Say what became of each series; exit code 1 where one was not fetched."""
    from node.fetching import read_wish

    deadline = time.monotonic() + wait_s
    open_ones = list(paths)
    failed = 0
    while open_ones and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        for path in list(open_ones):
            found = read_wish(path)
            if found is not None and found.is_over:
                open_ones.remove(path)
                failed += bool(found.reason)
                click.echo(f"series {found.series_uid}: {found.reason or 'fetched'}")
    if open_ones:
        click.echo(f"{len(open_ones)} series are still being fetched")
    if failed or open_ones:
        raise SystemExit(1)
