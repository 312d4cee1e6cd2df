"""Whether a node could work as it is configured: what ``aspects-node check`` looks at."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from atlases.entry import entry_of
from atlases.errors import AtlasError
from atlases.folders import EMBEDDED
from atlases.verify import require_intact
from node import scu
from node.atlas_choice import chosen_atlas
from node.certificate import expiry
from node.config import NodeConfig
from node.errors import ConfigError, PeerError
from node.notify.probe import probe
from node.notify.settings import Notification
from node.peer import Peer
from node.tls import client_context, server_context, web_context
from node.web.accounts import read_users
from node.weights import require_weights

_SOON_S: Final = 30 * 86400.0
_GIB: Final = 1 << 30
_ROOM: Final = 10 * _GIB


class Grade(StrEnum):
    """How something stands."""

    OK = "ok"
    WARNING = "warning"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
    grade : Grade
    text : str
        How it stands, and what to do where it is not well.
    """

    what: str
    grade: Grade
    text: str

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"what": self.what, "grade": str(self.grade), "text": self.text}


def check_node(config: NodeConfig, *, ask_peers: bool = True) -> list[Finding]:
    """Look at everything that a node needs.

    Parameters
    ----------
    config : NodeConfig
        Valid in itself.
    ask_peers : bool
        Whether each peer is asked by C-ECHO.

    Returns
    -------
    list of Finding
        In the order in which they matter.
    """
    runs = _is_running(config.data_folder)
    looks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _configuration(config),
        lambda: _data_folder(config, runs=runs),
        lambda: _atlas(config),
        _weights,
        lambda: _certificates(config),
        lambda: _users(config),
        lambda: _ports(config, runs=runs),
        lambda: _work_database(config),
    ]
    findings = [finding for look in looks for finding in look()]
    findings += [_notification(target, ask=ask_peers) for target in config.notifications]
    if ask_peers:
        findings += [_peer(config, peer) for peer in config.peers]
    return findings


def _finding(what: str, grade: Grade, text: str) -> Finding:
    return Finding(what=what, grade=grade, text=text)


def _configuration(config: NodeConfig) -> Iterator[Finding]:
    peers = len(config.peers)
    text = f"AE title {config.ae_title}, {peers} peer{'' if peers == 1 else 's'}"
    yield _finding("configuration", Grade.OK, text)
    takes = config.default_peer or config.also_send_to or any(p.destination for p in config.peers)
    if not takes:
        text = "no peer takes results: set default_peer, or [[peers]] with destination"
        yield _finding("destinations", Grade.WARNING, text)


def _is_running(data_folder: Path) -> bool:
    """Tell whether a node holds the lock of the data folder."""
    try:
        with (data_folder / "node.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _data_folder(config: NodeConfig, *, runs: bool) -> Iterator[Finding]:
    folder = config.data_folder
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        yield _finding("data folder", Grade.BROKEN, f"{folder} cannot be written by this user")
        return
    state = "a node works in it" if runs else "no node works in it"
    made = "" if folder.exists() else "; it will be made"
    yield _finding("data folder", Grade.OK, f"{folder}, {state}{made}")
    free = shutil.disk_usage(place).free
    text = (
        f"{free / _GIB:.1f} GiB free, nothing is accepted under {config.min_free_disk / _GIB:.1f}"
    )
    grade = Grade.WARNING if free < config.min_free_disk + _ROOM else Grade.OK
    yield _finding("disk", Grade.BROKEN if free < config.min_free_disk else grade, text)


def _atlas(config: NodeConfig) -> Iterator[Finding]:
    try:
        folder = chosen_atlas(config)
        entry = entry_of(folder)
        require_intact(entry, folder)
    except AtlasError as error:
        yield _finding("atlas", Grade.BROKEN, str(error))
        return
    text = f"{entry.name} {entry.version}, {len(entry.files)} files as listed"
    if folder == EMBEDDED:
        text += "; the embedded one: aspects-node atlas install aspects-281 gets the published"
    yield _finding("atlas", Grade.WARNING if folder == EMBEDDED else Grade.OK, text)


def _weights() -> Iterator[Finding]:
    try:
        listed = require_weights()
    except ConfigError as error:
        yield _finding("weights", Grade.BROKEN, str(error))
        return
    yield _finding("weights", Grade.OK, f"{len(listed)} files as their model cards list them")


def _certificates(config: NodeConfig) -> Iterator[Finding]:
    try:
        server_context(config)
        web_context(config)
        for peer in config.peers:
            client_context(config, peer)
    except ConfigError as error:
        yield _finding("tls", Grade.BROKEN, str(error))
        return
    if config.tls.certificate is not None and config.tls.key is not None:
        yield certificate("tls", config.tls.certificate, config.tls.key)
    web = config.web
    if web.enabled and web.certificate is not None and web.key is not None:
        yield certificate("web certificate", web.certificate, web.key)


def certificate(what: str, path: Path, key: Path) -> Finding:
    """Judge a certificate with its key, and until when it is good."""
    try:
        end = expiry(path, key)
    except ConfigError as error:
        return _finding(what, Grade.BROKEN, str(error))
    text = f"good until {datetime.fromtimestamp(end, UTC):%Y-%m-%d}"
    return _finding(what, Grade.WARNING if end - time.time() < _SOON_S else Grade.OK, text)


def _users(config: NodeConfig) -> Iterator[Finding]:
    path = config.web.users_file
    if path is None or not config.web.enabled:
        return
    try:
        users = read_users(path)
    except ConfigError as error:
        yield _finding("users", Grade.BROKEN, str(error))
        return
    if path.stat().st_mode & 0o077:
        text = f"{path} can be read by others: chmod 600 {path}"
        yield _finding("users", Grade.WARNING, text)
    elif not users:
        yield _finding("users", Grade.WARNING, f"{path} has none: aspects-node user NAME")
    else:
        yield _finding("users", Grade.OK, f"{len(users)} may log in")


def _ports(config: NodeConfig, *, runs: bool) -> Iterator[Finding]:
    """Try the ports; a running node holds its own."""
    wanted = [("port", config.host, config.port, Grade.BROKEN)]
    if config.dicomweb.enabled:
        wanted.append(("dicomweb.port", config.dicomweb.host, config.dicomweb.port, Grade.BROKEN))
    if config.web.enabled:
        # the node works without its pages
        wanted.append(("web.port", config.web.host, config.web.port, Grade.WARNING))
    for what, host, port, grade in wanted:
        why = _why_not(host, port)
        if why is None:
            text = f"{host}:{port} " + ("is free, though a node runs" if runs else "is free")
            yield _finding(what, Grade.WARNING if runs else Grade.OK, text)
        elif runs:
            yield _finding(what, Grade.OK, f"{host}:{port} is in use, a node runs")
        else:
            yield _finding(what, grade, f"{host}:{port} cannot be listened on ({why})")


def _work_database(config: NodeConfig) -> Iterator[Finding]:
    if config.work.database is None:
        return
    # the library is slow to load
    from sqlalchemy.exc import SQLAlchemyError

    from node.work.standing import standing

    try:
        found = standing(config.work)
    except ConfigError as error:
        yield _finding("work database", Grade.BROKEN, str(error))
        return
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        yield _finding("work database", Grade.UNREACHABLE, cause)
        return
    text = f"answered in {found.milliseconds:.0f} ms"
    if found.revision is None:
        yield _finding("work database", Grade.OK, f"{text}; its tables will be made")
        return
    if found.revision > found.newest:
        text += f"; its tables are of a newer version ({found.revision}): upgrade this one"
        yield _finding("work database", Grade.BROKEN, text)
        return
    text += (
        f"; {found.workers} processes compute, {found.slots} series at a time; "
        f"{found.waiting} wait, {found.running} are computed"
    )
    if not found.workers:
        text += ": start one, aspects-node serve --role work"
    yield _finding("work database", Grade.OK if found.workers else Grade.WARNING, text)


def _why_not(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def _notification(target: Notification, *, ask: bool) -> Finding:
    what = f"notification {target.name}"
    try:
        text = probe(target, ask=ask)
    except ConfigError as error:
        return _finding(what, Grade.BROKEN, str(error))
    except PeerError as error:
        return _finding(what, Grade.UNREACHABLE, str(error))
    return _finding(what, Grade.OK, text)


def _peer(config: NodeConfig, peer: Peer) -> Finding:
    what = f"peer {peer.name}"
    if not peer.has_dicom:
        return _finding(what, Grade.OK, f"{peer.stow_url}: DICOMweb, not asked")
    start = time.monotonic()
    try:
        scu.echo(config, peer)
    except (PeerError, ConfigError) as error:
        return _finding(what, Grade.UNREACHABLE, str(error))
    milliseconds = 1000 * (time.monotonic() - start)
    return _finding(what, Grade.OK, f"{peer.ae_title} answered in {milliseconds:.0f} ms")
