"""The node as a whole: what starts, in which order, and how it stops."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import random
import signal
import threading
import time
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TextIO

import atlases
import node
import pipeline
from node import history, requests
from node.assembly import Assembly, Patience
from node.atlas_choice import checked_atlas
from node.audit import AuditTrail
from node.audit_message import Happened
from node.chooser import Chooser
from node.clock_watch import ClockWatch
from node.commitment import CommitmentScp
from node.commitment_scu import CommitmentScu
from node.config import NodeConfig
from node.configured_pool import make_pool
from node.delivery import Deliverer
from node.dicomweb import make_gate
from node.dicomweb_server import DicomwebServer
from node.errors import ConfigError, NodeError
from node.fetching import Fetcher, Keeper
from node.files import make_private
from node.health import Watchdog
from node.inbox import Inbox
from node.notify.notifier import Notifier
from node.origin import Origin
from node.pool import Computer
from node.retention import Janitor
from node.scp import Receiver, start_scp
from node.state import Ledger
from node.web.front import Front, Inside
from node.web.viewer import Viewer
from node.work.database import database_url
from node.work.remote import RemotePool, node_name
from node.work.worker import work
from node.workflow import Engine, Tools

LOG = logging.getLogger(__name__)

COMPUTE: Final = "node.compute:compute"
"""The computation that a node runs."""

PRIVATE: Final = ("series", "incoming", "commitments", "fetches", "audit", "trash")
"""Folders of the data folder that hold what is known of patients."""

_LOOK_S: Final = 0.5
_GRACE_S: Final = 5.0


class Role(StrEnum):
    """What a process does."""

    ALL = "all"
    RECEIVE = "receive"
    """All but computing, which others do."""
    WORK = "work"
    WEB = "web"


class Node:
    """A running node.

    Parameters
    ----------
    config : NodeConfig
    compute : str
        ``package.module:function`` of the computation.
    role : Role
        ``ALL`` or ``RECEIVE``.

    Raises
    ------
    ConfigError
        The node cannot run like this; nothing was started.
    AtlasError
        The atlas is missing or altered; the message says what to run.
    """

    def __init__(self, config: NodeConfig, compute: str = COMPUTE, role: Role = Role.ALL) -> None:
        require_one_home()
        self.config = config
        self._lock = _lock_data_folder(config.data_folder)
        atlas_folder = self._atlas_folder = checked_atlas(config)
        ledger = self._ledger = Ledger(config.data_folder / "series")
        ledger.subscribe(history.note)
        self.audit = AuditTrail(config)
        ledger.subscribe(self.audit.hear)
        self.notifier = Notifier(config)
        ledger.subscribe(self.notifier.hear)
        self.inbox = Inbox(config.data_folder, ledger, config.min_free_disk)
        self._requests = config.data_folder / requests.FOLDER
        for name in (*PRIVATE, requests.FOLDER):
            make_private(config.data_folder / name)
        self.pool = _make_computer(config, compute, atlas_folder, role)
        self.commitment_scp = CommitmentScp(config)
        self.commitment_scu = CommitmentScu(config, ledger)
        tools = Tools(
            config=config,
            ledger=ledger,
            pool=self.pool,
            # jitter is no secret
            deliverer=Deliverer(config, ledger, random.Random()),  # noqa: S311
            commitment=self.commitment_scu,
            atlas_folder=atlas_folder,
        )
        self.engine = Engine(tools, config.data_folder, _at_once(config, role))
        self.chooser = Chooser(config, ledger, self.engine.submit)
        self.assembly = Assembly(
            self.inbox,
            ledger,
            self.chooser.offer,
            Patience(
                quiet_s=config.quiet_time_s,
                incomplete_s=config.incomplete_quiet_time_s,
                longest_s=config.longest_quiet_time_s,
            ),
        )
        keep = Keeper(self.inbox, self.assembly)
        if any(peer.ask_count or peer.fetch_missing for peer in config.peers):
            self.assembly.origin = Origin(config, ledger, keep)
        self.fetcher = Fetcher(config, keep, self.audit.fetched)
        self.dicomweb = (
            DicomwebServer(make_gate(config, self.inbox, self.assembly, self.audit.refused))
            if config.dicomweb.enabled
            else None
        )
        self._server: Any = None
        self.watchdog = Watchdog(
            config, ledger, self.inbox.incoming, lambda: self._server is not None
        )
        self.clock_watch = ClockWatch(config.delivery, ledger, self.engine)
        self.janitor = Janitor(
            config,
            ledger,
            do=self.assembly.do,
            forget=self.engine.forget,
            on_deleted=self.audit.deleted,
        )
        self._front = self._make_front() if config.web.enabled else None

    def _make_front(self) -> Front:
        return Front(
            Inside(
                config=self.config,
                ledger=self._ledger,
                inbox=self.inbox,
                listener=self.assembly,
                atlas_folder=self._atlas_folder,
                readiness=self.watchdog.readiness,
                worker_pids=lambda: self.pool.pids,
                account=self.audit.note,
            )
        )

    def start(self) -> None:
        """Take up unfinished work, then listen.

        Raises
        ------
        ConfigError
            The address cannot be listened on.
        """
        receiver = Receiver(
            self.config,
            self.inbox,
            self.assembly,
            self.commitment_scp.on_action,
            self.commitment_scu.on_report,
            self.audit.refused,
        )
        self._server = start_scp(receiver)
        if self.dicomweb is not None:
            self.dicomweb.start()
        self.commitment_scp.start()
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()
        self.engine.start()
        self.assembly.start()
        self.fetcher.start()
        self.notifier.start()
        if self._front is not None:
            self._front.start()
        self.audit.note(Happened(what="started"))
        LOG.info(
            "listening",
            extra={
                "ae_title": self.config.ae_title,
                "host": self.config.host,
                "port": self.config.port,
                "pid": os.getpid(),
                "version": metadata.version("aspects-node"),
            },
        )

    def _warm_up(self) -> None:
        try:
            self.pool.warm_up()
        except NodeError as error:
            LOG.exception("workers_not_warm", extra={"code": error.code, "reason": str(error)})

    def look(self) -> None:
        """Do what is due: requests of commands, series that waited, the watchdog."""
        for look in (
            self._look_at_requests,
            self.chooser.look,
            self.watchdog.look,
            self.clock_watch.look,
            self.janitor.look,
        ):
            try:
                look()
            except Exception:  # the node must go on receiving
                LOG.exception("look_failed")

    def _look_at_requests(self) -> None:
        requests.look_at_requests(self._requests, self.engine, self._ledger)

    def stop(self) -> None:
        """Stop in order; what is on disk goes on at the next start."""
        LOG.info("stopping")
        if self._front is not None:
            self._front.stop()
        if self._server is not None:
            if self.dicomweb is not None:
                self.dicomweb.stop()
            _close_server(self._server)
            self.commitment_scp.stop()
            self.fetcher.stop()
            self.assembly.stop()
            self.engine.stop()
        self.pool.stop()
        self.notifier.stop()
        self.audit.note(Happened(what="stopped"))
        self.audit.stop()
        self._lock.close()
        LOG.info("stopped")


def _make_computer(config: NodeConfig, compute: str, atlas_folder: Path, role: Role) -> Computer:
    if role is Role.RECEIVE:
        return RemotePool(
            database_url(config.work),
            node=node_name(config.data_folder),
            atlas_folder=atlas_folder,
            poll_s=config.work.poll_s,
        )
    return make_pool(config, compute, atlas_folder)


def _at_once(config: NodeConfig, role: Role) -> int:
    return config.work.ahead if role is Role.RECEIVE else config.workers


def serve(config: NodeConfig, compute: str = COMPUTE, role: Role = Role.ALL) -> None:
    """Run a node, or a part of one, until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError, AtlasError
        Nothing was started.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.umask(0o077)  # what patients' images go into is for the node's user alone
    if role is Role.WORK:
        work(config, compute, stop)
        return
    this = Viewer(config) if role is Role.WEB else Node(config, compute, role)
    try:
        this.start()
        # what is here stays: the library collects garbage for every sixty connections
        gc.collect()
        gc.freeze()
        while not stop.wait(_LOOK_S):
            this.look()
    finally:
        this.stop()


def require_one_home() -> None:
    """Check that ``node``, ``atlases`` and ``pipeline`` lie in one folder.

    Raises
    ------
    ConfigError
        Another package of that name hides one of ours.
    """
    homes = {Path(package.__file__ or "").parent.parent for package in (node, atlases, pipeline)}
    if len(homes) != 1:
        folders = ", ".join(sorted(str(home) for home in homes))
        raise ConfigError(
            f"node, atlases and pipeline lie in different folders ({folders}): "
            "install aspects-node in a virtual environment of its own"
        )


def _lock_data_folder(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "node.lock").open("w")
    except OSError as error:
        raise ConfigError(f"data_folder: {folder} cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConfigError(f"data_folder: another node works in {folder}") from error
    return lock


def _close_server(server: Any) -> None:
    """Take no new associations; let open ones end, for a while."""
    server.shutdown()
    deadline = time.monotonic() + _GRACE_S
    while _is_busy(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    server.ae.shutdown()


def _is_busy(server: Any) -> bool:
    return any(association.is_established for association in server.active_associations)
