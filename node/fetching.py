"""Fetch series from a peer: wishes on disk, worked off in a thread.

``aspects-node fetch`` leaves a file; the running node, or the next one, makes
the peer send what it names. What comes takes the way of everything that comes.
No file holds more of the patient than UIDs.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from node.config import NodeConfig
from node.delivery import delay_s
from node.errors import ConfigError, PeerError, RetrieveError, StorageError
from node.files import write_durably
from node.inbox import Inbox
from node.retrieve import FoundSeries, Keep, retrieve
from node.scp import Listener
from node.state import now_s, short_hash
from node.status import StoreStatus

LOG = logging.getLogger(__name__)

OnFetched = Callable[[str, str, str, str], None]

FOLDER: Final = "fetches"
_ATTEMPTS: Final = 5
_LOOK_S: Final = 0.5
_KEPT_S: Final = 3600.0


class Wish(BaseModel):
    """One series to fetch from one peer.

    Attributes
    ----------
    peer : str
        Its name in the configuration.
    study_uid, series_uid : str
    since, next_attempt : float
        Seconds since the epoch.
    attempts : int
    is_over : bool
    reason : str
        Of the last failure; empty where it was fetched.
    """

    peer: str
    study_uid: str
    series_uid: str
    since: float
    next_attempt: float = 0.0
    attempts: int = 0
    is_over: bool = False
    reason: str = ""

    @property
    def file_name(self) -> str:
        """The name of its file: made of ours, whatever the UID holds."""
        return f"{short_hash(f'{self.peer} {self.series_uid}'.encode())}.json"


def wish(data_folder: Path, peer: str, series: FoundSeries) -> Path:
    """Leave a wish; a running node sees it within a second. Return its file."""
    folder = data_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    made = Wish(peer=peer, study_uid=series.study_uid, series_uid=series.series_uid, since=now_s())
    write_durably(folder / made.file_name, made.model_dump_json().encode())
    return folder / made.file_name


def read_wish(path: Path) -> Wish | None:
    """Return a wish; None where it is gone or unreadable."""
    try:
        return Wish.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps the objects of a C-GET as those of a C-STORE are kept.

    Parameters
    ----------
    inbox : Inbox
    listener : Listener
        Hears of what is on disk.
    """

    inbox: Inbox
    listener: Listener

    def store(self, head: bytes, data: bytes, association: int) -> int:
        """Put an object on disk; return the status of the C-STORE."""
        try:
            path = self.inbox.store(head, data)
        except StorageError as error:
            LOG.exception("not_stored", extra={"code": error.code, "reason": str(error)})
            return StoreStatus.OUT_OF_RESOURCES
        self.listener.stored(path, association)
        return StoreStatus.SUCCESS

    def closed(self, association: int) -> None:
        """Note that an association is over."""
        self.listener.closed(association)


class Fetcher:
    """Works off the wishes.

    Parameters
    ----------
    config : NodeConfig
    keep : Keep
        Keeps what comes by C-GET.
    on_fetched : callable
        ``on_fetched(peer, study, series, failure)`` hears of each attempt.
    """

    def __init__(self, config: NodeConfig, keep: Keep, on_fetched: OnFetched) -> None:
        self._config = config
        self._on_fetched = on_fetched
        self._keep = keep
        self._folder = config.data_folder / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rng = random.Random()  # noqa: S311 - jitter is no secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def start(self) -> None:
        """Begin; with what an earlier run left, too."""
        self._thread.start()

    def stop(self) -> None:
        """Take up no more; what waits is taken up at the next start."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            for path in sorted(self._folder.glob("*.json")):
                try:
                    self._look_at(path)
                except Exception:  # one wish must not end the others
                    LOG.exception("fetch_defect")

    def _look_at(self, path: Path) -> None:
        found = read_wish(path)
        if found is None or (found.is_over and now_s() > found.since + _KEPT_S):
            path.unlink(missing_ok=True)
        elif not found.is_over and found.next_attempt <= now_s() and not self._stop.is_set():
            self._try(path, found)

    def _try(self, path: Path, found: Wish) -> None:
        found.attempts += 1
        series = FoundSeries(study_uid=found.study_uid, series_uid=found.series_uid)
        images, code = 0, ""
        try:
            peer = self._config.peer(found.peer)
            done = retrieve(self._config, peer, series, self._keep)
            images = done.completed + done.warning
            if not images:
                raise RetrieveError(f"{peer.name} sent no image")
        except (PeerError, ConfigError) as error:
            code, found.reason = error.code, str(error)
            found.is_over = found.attempts >= _ATTEMPTS or isinstance(error, ConfigError)
            found.next_attempt = now_s() + delay_s(self._config.delivery, found.attempts, self._rng)
        else:
            found.reason, found.is_over = "", True
        write_durably(path, found.model_dump_json().encode())
        self._on_fetched(found.peer, found.study_uid, found.series_uid, found.reason)
        _log(found, images, code)


def _log(found: Wish, images: int, code: str) -> None:
    extra = {"series": found.series_uid, "peer": found.peer}
    if not found.reason:
        LOG.info("fetched", extra={**extra, "images": images})
        return
    LOG.warning(
        "fetch_given_up" if found.is_over else "fetch_failed",
        extra={**extra, "attempt": found.attempts, "code": code, "reason": found.reason},
    )
