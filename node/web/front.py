"""All of the web part, as the node starts and stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import scu
from node.audit_message import Happened
from node.certificate import require_pair
from node.config import NodeConfig
from node.health import Readiness
from node.inbox import Inbox
from node.metrics import Metrics
from node.notify.outbox import standing
from node.scp import Listener
from node.state import Ledger
from node.web.accounts import read_users
from node.web.app import create_app
from node.web.desk import Desk
from node.web.feed import Feed
from node.web.server import WebServer
from node.web.settings import Web
from node.web.uploads import NoUploads, Uploads

UPLOADS: Final = "uploads"
"""Folder in the data folder for what is being uploaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What the web part needs of the node.

    Attributes
    ----------
    config : NodeConfig
    ledger : Ledger
    inbox : Inbox or None
        None where nothing can be uploaded.
    listener : Listener or None
        Hears of uploaded objects.
    atlas_folder : Path
    readiness : callable
    worker_pids : callable
    account : callable
        Takes note of what has to be accounted for.
    """

    config: NodeConfig
    ledger: Ledger
    inbox: Inbox | None
    listener: Listener | None
    atlas_folder: Path
    readiness: Callable[[], Readiness]
    worker_pids: Callable[[], Iterable[int]]
    account: Callable[[Happened], None]


class Front:
    """Pages, REST API and metrics of a running node.

    Parameters
    ----------
    node : Inside

    Raises
    ------
    ConfigError
        Certificate, key or users cannot be used.
    """

    def __init__(self, node: Inside) -> None:
        config, ledger = node.config, node.ledger
        _require_usable(config.web)
        self.desk = Desk(
            config=config,
            ledger=ledger,
            atlas_folder=node.atlas_folder,
            readiness=node.readiness,
            echo=scu.echo,
            worker_pids=node.worker_pids,
            account=node.account,
        )
        ledger.subscribe(self.desk.changes.note)
        self.uploads = _make_uploads(node)
        self._feed = Feed(self.desk.changes)
        names = [target.name for target in config.notifications]
        metrics = Metrics(ledger, node.readiness, lambda: standing(config.data_folder, names))
        self.app = create_app(self.desk, self.uploads, self._feed, metrics.text)
        self._server = WebServer(self.app, config.web)

    def start(self) -> bool:
        """Listen; return whether that is possible."""
        return self._server.start()

    def stop(self) -> None:
        """Stop listening, and end what is being drawn."""
        self._feed.stop()
        self._server.stop()
        self.desk.pictures.stop()


def _make_uploads(node: Inside) -> Uploads:
    if node.inbox is None or node.listener is None:
        return NoUploads()
    folder, most_bytes = node.config.data_folder / UPLOADS, node.config.web.max_upload
    return Uploads(node.inbox, node.listener, folder, most_bytes)


def _require_usable(settings: Web) -> None:
    if settings.users_file is not None:
        read_users(settings.users_file)
    if settings.certificate is not None and settings.key is not None:
        require_pair(settings.certificate, settings.key)
