"""The audit trail: JSON lines, a file a day, and syslog where that is wanted.

Written by a thread of its own, so that nothing waits for it; each batch is
durable before the next.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from node.audit_message import Happened, Outcome, message
from node.config import NodeConfig
from node.state import DeliveryState, Generation, SeriesRecord, now_s
from node.syslog import Syslog

LOG = logging.getLogger(__name__)

FOLDER: Final = "audit"
_BATCH: Final = 256
_DAY_S: Final = 86400.0


class AuditTrail:
    """Takes what happened and writes it down.

    Parameters
    ----------
    config : NodeConfig

    Raises
    ------
    ConfigError
        The certificates for syslog cannot be used.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._folder = config.data_folder / FOLDER
        self._queue: queue.Queue[tuple[float, Happened] | None] = queue.Queue()
        self._syslog = Syslog(config) if config.audit.syslog_host else None
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        if config.audit.enabled:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._thread.start()

    def note(self, happened: Happened) -> None:
        """Take note; returns at once."""
        if self._config.audit.enabled:
            self._queue.put((now_s(), happened))

    def refused(self, caller: str, address: str) -> None:
        """Take note of a caller that was not let in."""
        self.note(
            Happened(
                what="refused",
                source=f"{caller} at {address}",
                outcome=Outcome.SERIOUS_FAILURE,
                detail="the caller is not allowed to send here",
            )
        )

    def deleted(self, record: SeriesRecord) -> None:
        """Take note of a series that was deleted because its time was over."""
        self.note(
            Happened(
                what="deleted",
                study_uid=record.study_uid,
                series_uid=record.series_uid,
                detail="retention",
            )
        )

    def fetched(self, peer: str, study_uid: str, series_uid: str, failure: str = "") -> None:
        """Take note of a series that a peer was asked for."""
        self.note(
            Happened(
                what="queried",
                destination=peer,
                study_uid=study_uid,
                series_uid=series_uid,
                outcome=Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS,
                detail=failure,
            )
        )

    def hear(self, before: SeriesRecord | None, after: SeriesRecord) -> None:
        """Take note of what changed for a series; listens to a `node.state.Ledger`."""
        for happened in _happened(before, after):
            self.note(happened)

    def stop(self) -> None:
        """Write what is waiting and end."""
        if self._thread.ident is not None:
            self._queue.put(None)
            self._thread.join(10.0)

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._queue.get_nowait())
            lines = [self._line(*item) for item in batch if item is not None]
            try:
                self._write(lines)
            except OSError:
                LOG.exception("audit_not_written")
            if self._syslog is not None:
                self._syslog.send(lines)
            if None in batch:
                return

    def _line(self, at: float, happened: Happened) -> str:
        found: dict[str, Any] = message(
            happened,
            at=at,
            ae_title=self._config.ae_title,
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        return json.dumps(found)

    def _write(self, lines: list[str]) -> None:
        """Append to the file of the day, durably; begin a new one, drop the oldest."""
        today = datetime.fromtimestamp(now_s(), UTC).strftime("%Y%m%d")
        path = self._folder / f"{today}.jsonl"
        is_new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            content = "".join(f"{line}\n" for line in lines).encode()
            while content:
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            self._drop_old()

    def _drop_old(self) -> None:
        oldest = datetime.fromtimestamp(now_s() - self._config.audit.keep_days * _DAY_S, UTC)
        for path in self._folder.glob("*.jsonl"):
            if path.stem < oldest.strftime("%Y%m%d"):
                path.unlink()


def _happened(before: SeriesRecord | None, after: SeriesRecord) -> Iterator[Happened]:
    known = {} if before is None else {item.number: item for item in before.generations}
    for generation in after.generations:
        earlier = known.get(generation.number)
        if earlier is None:
            yield _received(after, generation)
        yield from _sent(after, earlier, generation)
    noted = [] if before is None else [item for item in before.history if item.what == "asked"]
    for item in after.history:
        if item.what == "asked" and item not in noted:
            what, _, by = item.detail.partition(", by ")
            yield Happened(
                what="asked", study_uid=after.study_uid, series_uid=after.series_uid,
                detail=what, by=by,
            )  # fmt: skip


def _received(record: SeriesRecord, generation: Generation) -> Happened:
    return Happened(
        what="received",
        source=record.calling_ae,
        study_uid=record.study_uid,
        series_uid=record.series_uid,
        sop_classes=dict.fromkeys(record.sop_classes, len(generation.images)),
    )


def _sent(record: SeriesRecord, before: Generation | None, after: Generation) -> Iterator[Happened]:
    for name, delivery in after.deliveries.items():
        earlier = before.deliveries.get(name) if before is not None else None
        was = None if earlier is None else earlier.state
        if delivery.state is was or delivery.state not in {
            DeliveryState.DELIVERED,
            DeliveryState.PARTLY,
            DeliveryState.FAILED,
        }:
            continue
        is_sent = delivery.state is not DeliveryState.FAILED
        yield Happened(
            what="sent",
            destination=name,
            study_uid=record.study_uid,
            series_uid=record.series_uid,
            outcome=Outcome.SUCCESS if is_sent else Outcome.SERIOUS_FAILURE,
            detail=", ".join(delivery.stored) if is_sent else delivery.reason,
        )
