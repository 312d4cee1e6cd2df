"""Delete finished series when their time is over, or the disk's room is.

Never deleted: what is received, computed or delivered, what failed, and results
that a destination has not yet confirmed where it was asked to.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from node.config import NodeConfig
from node.keeping_settings import Retention
from node.state import (
    CommitState,
    DeliveryRecord,
    DeliveryState,
    Ledger,
    SeriesRecord,
    State,
    now_s,
)

LOG = logging.getLogger(__name__)

TRASH: Final = "trash"
_LOOK_S: Final = 600.0
_DAY_S: Final = 86400.0
_FINISHED: Final = frozenset(
    {State.DONE, State.REJECTED, State.IGNORED, State.CANCELLED, State.SUPERSEDED}
)

Do = Callable[[Callable[[], object]], None]
"""``do(action)`` runs something while no image is sorted into a folder."""


def is_finished(record: SeriesRecord) -> bool:
    """Tell whether nothing more will happen to a series, and nothing was lost."""
    if record.state not in _FINISHED or record.latest is None:
        return False
    return all(_is_settled(item) for item in record.latest.deliveries.values())


def _is_settled(delivery: DeliveryRecord) -> bool:
    if delivery.state is DeliveryState.WAITING:  # the note of a rejection, for example
        return False
    return delivery.commitment is None or delivery.commitment.state is CommitState.COMMITTED


def to_delete(
    settings: Retention, series: Sequence[tuple[SeriesRecord, int]], now: float
) -> list[SeriesRecord]:
    """Return the series to delete, the oldest first.

    Parameters
    ----------
    settings : Retention
    series : sequence of (SeriesRecord, int)
        All, and the bytes of each.
    now : float
        Seconds since the epoch.
    """
    ordered = sorted(series, key=lambda item: item[0].last_received)
    excess = sum(size for _, size in ordered) - (settings.max_bytes or 1 << 62)
    oldest = now - (settings.keep_days or 1e6) * _DAY_S
    found = []
    for record, size in ordered:
        if is_finished(record) and (record.last_received < oldest or excess > 0):
            found.append(record)
            excess -= size
    return found


class Janitor:
    """Looks now and then for what can be deleted.

    Parameters
    ----------
    config : NodeConfig
    ledger : Ledger
    do : callable
    forget : callable
        ``forget(key)`` drops what the engine knows of a series.
    on_deleted : callable
        ``on_deleted(record)`` hears of each series that was deleted.
    """

    def __init__(
        self,
        config: NodeConfig,
        ledger: Ledger,
        *,
        do: Do,
        forget: Callable[[str], None],
        on_deleted: Callable[[SeriesRecord], None],
    ) -> None:
        self._settings = config.retention
        self._ledger = ledger
        self._do = do
        self._forget = forget
        self._on_deleted = on_deleted
        self._trash = config.data_folder / TRASH
        self._trash.mkdir(mode=0o700, exist_ok=True)
        self._next_look = 0.0
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begin to clean up where it is time; called now and then."""
        if time.monotonic() < self._next_look or (self._thread and self._thread.is_alive()):
            return
        self._next_look = time.monotonic() + _LOOK_S
        self._thread = threading.Thread(target=self._clean, name="retention", daemon=True)
        self._thread.start()

    def _clean(self) -> None:
        try:
            self._empty_trash()  # of an earlier run, too
            records = [self._ledger.get(key) for key in self._ledger.keys_of_all()]
            sizes = [(item, _size(self._ledger.folder / item.key)) for item in records if item]
            for record in to_delete(self._settings, sizes, now_s()):
                self._do(partial(self._delete, record))
            self._empty_trash()
        except Exception:  # a file that cannot be deleted must not end the node
            LOG.exception("retention_failed")

    def _delete(self, record: SeriesRecord) -> None:
        now = self._ledger.get(record.key)
        if now is None or not is_finished(now):
            return  # more images came meanwhile
        # first: a series that comes anew must not find its old work done
        self._forget(record.key)
        if self._ledger.remove(record.key, self._trash, is_finished):
            self._on_deleted(record)
            LOG.info("deleted", extra={"series": record.series_uid, "state": record.state})

    def _empty_trash(self) -> None:
        for path in self._trash.iterdir():
            shutil.rmtree(path)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
