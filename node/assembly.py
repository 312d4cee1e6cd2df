"""When is a series complete? One thread sorts what arrived and decides.

A series is complete when it was quiet for the quiet time and no association
that brought images of it is still open; or, whatever is open, when it was quiet
for the longest quiet time. An image that comes later opens it again: the next
generation is computed from all images.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.files import sync_folder
from node.inbox import Arrival, Inbox
from node.presentation import RESULT_CLASSES
from node.state import Generation, Ledger, SeriesRecord, State, now_s

LOG = logging.getLogger(__name__)

_BATCH: Final = 64
_IDLE_S: Final = 5.0

Submit = Callable[[str, int], None]
"""``submit(key, generation)`` starts the work; calling it twice does no harm."""


@dataclass(frozen=True, slots=True)
class _Stored:
    path: Path
    association: int
    at: float


@dataclass(frozen=True, slots=True)
class _Closed:
    association: int


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


class Assembly:
    """Sorts arrivals into series and submits the complete ones.

    Parameters
    ----------
    inbox : Inbox
    ledger : Ledger
    submit : callable
    quiet_time_s, longest_quiet_time_s : float
    """

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        submit: Submit,
        *,
        quiet_time_s: float,
        longest_quiet_time_s: float,
    ) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._submit = submit
        self._quiet_time_s = quiet_time_s
        self._longest_quiet_time_s = longest_quiet_time_s
        self._events: queue.Queue[_Stored | _Closed | _Stop] = queue.Queue()
        self._last: dict[str, float] = {}
        self._open: dict[int, set[str]] = {}
        self._thread = threading.Thread(target=self._run, name="assembly")

    def stored(self, path: Path, association: int) -> None:
        """Take note that an object is on disk; called by the receiver."""
        self._events.put(_Stored(path, association, time.monotonic()))

    def closed(self, association: int) -> None:
        """Take note that an association is over; called by the receiver."""
        self._events.put(_Closed(association))

    def start(self) -> None:
        """Take up what an earlier run left, then follow the receiver."""
        self._inbox.rescue()
        waiting = self._inbox.waiting()
        for first in range(0, len(waiting), _BATCH):
            self._inbox.sort(waiting[first : first + _BATCH])
        self._inbox.refresh()
        for key in self._ledger.keys_of_all():
            self._resume(key)
        self._thread.start()

    def stop(self) -> None:
        """Sort what is waiting and end the thread."""
        self._events.put(_Stop())
        self._thread.join()

    def _resume(self, key: str) -> None:
        record = self._ledger.get(key)
        if record is None:
            return
        if record.receiving:
            self._last[key] = time.monotonic()
        latest = record.latest
        if latest is not None and latest.state in {State.QUEUED, State.COMPUTING}:
            self._submit(key, latest.number)

    def _run(self) -> None:
        running = True
        while running:
            events = self._next_events()
            running = not any(isinstance(event, _Stop) for event in events)
            try:
                self._take(events)
                if running:
                    self._close_quiet()
            except Exception:  # the node must go on receiving; the files are kept
                LOG.exception("assembly_failed")

    def _next_events(self) -> list[_Stored | _Closed | _Stop]:
        events = []
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=self._until_next()))
            while len(events) < _BATCH:
                events.append(self._events.get_nowait())
        return events

    def _until_next(self) -> float:
        """Return the seconds until a series may be complete."""
        now = time.monotonic()
        dues = (self._due(key) - now for key in self._last)
        return max(0.0, min(dues, default=_IDLE_S))

    def _due(self, key: str) -> float:
        held = any(key in keys for keys in self._open.values())
        wait = self._longest_quiet_time_s if held else self._quiet_time_s
        return self._last[key] + wait

    def _take(self, events: list[_Stored | _Closed | _Stop]) -> None:
        stored = [event for event in events if isinstance(event, _Stored)]
        arrivals = self._inbox.sort(event.path for event in stored)
        for event, arrival in zip(stored, arrivals, strict=True):
            if arrival is not None:
                self._note(event, arrival)
        for closed in (event for event in events if isinstance(event, _Closed)):
            self._open.pop(closed.association, None)

    def _note(self, event: _Stored, arrival: Arrival) -> None:
        record = self._ledger.get(arrival.key)
        if record is not None and record.receiving:
            self._last[arrival.key] = event.at
            self._open.setdefault(event.association, set()).add(arrival.key)

    def _close_quiet(self) -> None:
        now = time.monotonic()
        for key in [key for key in self._last if self._due(key) <= now]:
            self._complete(key, now - self._last.pop(key))

    def _complete(self, key: str, quiet_s: float) -> None:
        sync_folder(self._ledger.images(key))
        images = sorted(path.name for path in self._ledger.images(key).iterdir())
        with self._ledger.change(key) as record:
            record.receiving = False
            generation = self._fix(record, images)
        if generation is None:
            return
        extra = {"series": record.series_uid, "generation": generation.number}
        received_s = record.last_received - record.first_received
        LOG.info(
            "received_last_image",
            extra={**extra, "images": len(images), "seconds": round(received_s, 3)},
        )
        LOG.info(
            "complete",
            extra={
                **extra,
                "images": len(images),
                "state": generation.state,
                "seconds": round(quiet_s, 3),
                "seconds_since_last_image": round(now_s() - record.last_received, 3),
            },
        )
        if generation.state is State.QUEUED:
            self._submit(key, generation.number)

    def _fix(self, record: SeriesRecord, images: list[str]) -> Generation | None:
        """Fix the list of images of the next generation."""
        latest = record.latest
        if latest is not None and latest.images == images:
            return None
        generation = Generation(
            number=self._next_number(record),
            images=images,
            complete=now_s(),
            last_received=record.last_received,
        )
        _judge_unread(record, generation)
        record.generations.append(generation)
        return generation

    def _next_number(self, record: SeriesRecord) -> int:
        # results on disk count too: a number is never used twice
        parent = self._ledger.results(record.key, 0).parent
        used = [int(path.name) for path in parent.iterdir() if path.name.isdigit()]
        return max([*used, *(item.number for item in record.generations), 0]) + 1


def _judge_unread(record: SeriesRecord, generation: Generation) -> None:
    """End what needs no computation: results that came back, and no DICOM."""
    if not record.series_uid:
        generation.state = State.REJECTED
        generation.code = "unreadable"
        generation.reason = "the object holds no readable SeriesInstanceUID"
    elif record.sop_classes and set(record.sop_classes) <= RESULT_CLASSES:
        generation.state = State.IGNORED
        generation.code = "result-object"
        generation.reason = "segmentations and reports are results, not input"
