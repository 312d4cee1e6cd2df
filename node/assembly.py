"""When is a series complete? One thread sorts what arrived and decides.

A series that was quiet for a moment is weighed (`node.evidence`): with the
sender's count, or slices that cover a head without a gap and no association
that may bring more, it is complete at once; without such evidence after a
longer wait; with an association open, or images missing, after the longest. An
image that comes later opens it again: the next generation is computed from all
images.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from node.evidence import Clues, Evidence, Place, describe_gaps, weigh
from node.files import sync_folder
from node.inbox import Arrival, Inbox, read_place
from node.presentation import CT_CLASSES, NO_INPUT_CLASSES
from node.state import Generation, Ledger, SeriesRecord, State, now_s

LOG = logging.getLogger(__name__)

_BATCH: Final = 256
_GATHER_S: Final = 0.1
"""Images are sorted in batches: meanwhile the receiver has the interpreter."""
_IDLE_S: Final = 5.0
_AGAIN_S: Final = 1.0

_ASKING: Final = 4
_ANSWER_S: Final = 3.0
_DOING_S: Final = 60.0

Submit = Callable[[str, int], None]
"""``submit(key, generation)`` starts the work; calling it twice does no harm."""


@dataclass(frozen=True, slots=True)
class _Stored:
    path: Path
    association: int | None
    at: float


@dataclass(frozen=True, slots=True)
class _Closed:
    association: int


@dataclass(frozen=True, slots=True)
class _Counted:
    key: str
    count: int | None


@dataclass(frozen=True, slots=True)
class _Fetched:
    key: str


@dataclass(frozen=True, slots=True)
class _Do:
    action: Callable[[], object]
    done: threading.Event


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


_Event = _Stored | _Closed | _Counted | _Fetched | _Do | _Stop


class Asked(Protocol):
    """Who asks the sender of a series; each answer may take its time."""

    def count(self, record: SeriesRecord) -> int | None:
        """Return how many images it holds; None where it does not say."""

    def fetch(self, record: SeriesRecord) -> None:
        """Have it send those that did not come, where that is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a series must be quiet, in seconds.

    Attributes
    ----------
    quiet_s : float
        With evidence that it is complete.
    incomplete_s : float
        Without.
    longest_s : float
        While an association is open, or the sender holds more images.
    """

    quiet_s: float
    incomplete_s: float
    longest_s: float

    @property
    def before_fetch_s(self) -> float:
        """How long to be quiet before missing images are fetched."""
        return max(min(self.incomplete_s, self.longest_s), self.quiet_s)

    def wait_s(self, evidence: Evidence, *, is_ct: bool) -> float:
        """Return how long a series must be quiet with this evidence.

        What is no CT is not computed, so that more of it changes nothing.
        """
        is_enough = evidence in {Evidence.COUNT, Evidence.GEOMETRY}
        if is_enough or (evidence is Evidence.NONE and not is_ct):
            return self.quiet_s
        longer = self.incomplete_s if evidence is Evidence.NONE else self.longest_s
        return max(longer, self.quiet_s)


@dataclass(slots=True)
class _Watch:
    """A series that is being received."""

    last: float
    due: float
    places: dict[str, Place | None] = field(default_factory=dict)
    is_asked: bool = False
    is_fetched: bool = False
    expected: int | None = None


class Assembly:
    """Sorts arrivals into series and submits the complete ones.

    Parameters
    ----------
    inbox : Inbox
    ledger : Ledger
    submit : callable
    patience : Patience

    Attributes
    ----------
    origin : Asked or None
        Asks the sender of a series, in threads of its own; None: it is not asked.
    """

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        submit: Submit,
        patience: Patience,
    ) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._submit = submit
        self._patience = patience
        self.origin: Asked | None = None
        self._events: queue.Queue[_Event] = queue.Queue()
        self._watched: dict[str, _Watch] = {}
        self._open: dict[int, set[str]] = {}
        self._unsubmitted: list[tuple[str, int]] = []
        self._stopping = threading.Event()
        self._askers = ThreadPoolExecutor(_ASKING, thread_name_prefix="count")
        self._thread = threading.Thread(target=self._run, name="assembly")

    def stored(self, path: Path, association: int) -> None:
        """Take note that an object is on disk; called by the receiver."""
        self._events.put(_Stored(path, association, time.monotonic()))

    def closed(self, association: int) -> None:
        """Take note that an association is over; called by the receiver."""
        self._events.put(_Closed(association))

    def do(self, action: Callable[[], object]) -> None:
        """Have something done while nothing is sorted; wait until it is done."""
        done = threading.Event()
        self._events.put(_Do(action, done))
        done.wait(_DOING_S)

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
        self._stopping.set()
        self._events.put(_Stop())
        if self._thread.ident is not None:  # it was started
            self._thread.join()
        self._askers.shutdown(wait=False, cancel_futures=True)

    def _resume(self, key: str) -> None:
        record = self._ledger.get(key)
        if record is None:
            return
        if record.receiving:
            self._watch(key, time.monotonic())
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
                    self._hand_over()
                    self._close_quiet()
            except Exception:  # the node must go on receiving; the files are kept
                LOG.exception("assembly_failed")

    def _next_events(self) -> list[_Event]:
        events: list[_Event] = []
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=self._until_next()))
            if isinstance(events[0], _Stored):
                self._stopping.wait(_GATHER_S)
            while len(events) < _BATCH:
                events.append(self._events.get_nowait())
        return events

    def _until_next(self) -> float:
        """Return the seconds until a series may be complete."""
        now = time.monotonic()
        dues = [watch.due - now for watch in self._watched.values()]
        if self._unsubmitted:
            dues.append(_AGAIN_S)
        return max(0.0, min(dues, default=_IDLE_S))

    def _watch(self, key: str, at: float) -> _Watch:
        """Note a sign of life of a series; it is weighed when it was quiet."""
        watch = self._watched.setdefault(key, _Watch(at, at))
        watch.last = max(watch.last, at)
        watch.due = watch.last + self._patience.quiet_s
        watch.is_asked, watch.expected = False, None
        return watch

    def _take(self, events: list[_Event]) -> None:
        for stored in events:
            if isinstance(stored, _Stored):
                self._sort(stored)
        for other in events:
            if isinstance(other, _Closed):
                self._weigh_again(self._open.pop(other.association, set()))
            elif isinstance(other, _Counted) and other.key in self._watched:
                self._watched[other.key].expected = other.count
                self._weigh_again({other.key})
            elif isinstance(other, _Do):
                _do(other)
            elif isinstance(other, _Fetched) and other.key in self._watched:
                # what came is counted anew, and there may be nothing to wait for
                self._watched[other.key].is_asked = False
                self._weigh_again({other.key})

    def _sort(self, event: _Stored) -> None:
        """Sort one object; where the disk does not take it now, later."""
        try:
            (arrival,) = self._inbox.sort([event.path])
        except OSError as error:
            LOG.warning("not_sorted", extra={"file": event.path.name, "reason": error.strerror})
            self._stopping.wait(_AGAIN_S)
            # its association may be closed by then
            self._events.put(replace(event, association=None))
            return
        if arrival is not None:
            self._note(event, arrival)

    def _note(self, event: _Stored, arrival: Arrival) -> None:
        if self._ledger.is_receiving(arrival.key):
            watch = self._watch(arrival.key, event.at)
            if arrival.fresh:
                watch.places[arrival.name] = arrival.place
            if event.association is not None:
                self._open.setdefault(event.association, set()).add(arrival.key)

    def _weigh_again(self, keys: set[str]) -> None:
        for watch in (self._watched[key] for key in keys if key in self._watched):
            watch.due = watch.last + self._patience.quiet_s

    def _close_quiet(self) -> None:
        now = time.monotonic()
        for key, watch in list(self._watched.items()):
            if watch.due <= now:
                self._weigh_safely(key, watch, now)

    def _weigh_safely(self, key: str, watch: _Watch, now: float) -> None:
        try:
            self._weigh(key, watch, now)
        except OSError:
            LOG.exception("not_completed")
            watch.due = now + _AGAIN_S

    def _weigh(self, key: str, watch: _Watch, now: float) -> None:
        """Complete a quiet series, or say when to look again."""
        record = self._ledger.get(key)
        if record is None:
            del self._watched[key]
            return
        if self.origin is not None and not watch.is_asked:
            watch.is_asked, watch.due = True, now + _ANSWER_S
            self._askers.submit(self._ask, self.origin, record)
            return
        clues = self._clues(key, watch)
        evidence = weigh(clues)
        if self._fetches(record, watch, clues, now):
            return
        watch.due = watch.last + self._patience.wait_s(evidence, is_ct=_is_ct(record))
        if watch.due <= now:
            self._complete(record, clues, evidence, now - watch.last)
            self._watched.pop(key, None)

    def _fetches(self, record: SeriesRecord, watch: _Watch, clues: Clues, now: float) -> bool:
        """Have missing images fetched, once; return True while that is done."""
        is_short = clues.expected is not None and clues.images < clues.expected
        if self.origin is None or not is_short or clues.is_held or watch.is_fetched:
            return False
        watch.due = watch.last + self._patience.before_fetch_s
        if watch.due <= now:
            watch.is_fetched, watch.due = True, now + self._patience.longest_s
            self._askers.submit(self._fetch, self.origin, record)
        return True

    def _fetch(self, origin: Asked, record: SeriesRecord) -> None:
        try:
            origin.fetch(record)
        except Exception:  # the thread's end must not be the series' end
            LOG.exception("fetch_missing_failed", extra={"series": record.series_uid})
        self._events.put(_Fetched(record.key))

    def _ask(self, origin: Asked, record: SeriesRecord) -> None:
        answer = None
        try:
            answer = origin.count(record)
        except Exception:  # the thread's end must not be the series' end
            LOG.exception("count_failed", extra={"series": record.series_uid})
        self._events.put(_Counted(record.key, answer))

    def _clues(self, key: str, watch: _Watch) -> Clues:
        images = self._ledger.images(key)
        names = sorted(path.name for path in images.iterdir())
        for name in names:
            if name not in watch.places:  # it came before a restart
                watch.places[name] = read_place(images / name)
        return Clues(
            images=len(names),
            places=tuple(watch.places[name] for name in names),
            is_held=any(key in keys for keys in self._open.values()),
            expected=watch.expected,
        )

    def _complete(
        self, record: SeriesRecord, clues: Clues, evidence: Evidence, quiet_s: float
    ) -> None:
        images = self._ledger.images(record.key)
        sync_folder(images)
        names = sorted(path.name for path in images.iterdir())
        with self._ledger.change(record.key) as record:
            record.receiving = False
            generation = self._fix(record, names)
            if generation is not None:
                generation.evidence = evidence
                generation.missing = _missing(record, clues)
        if generation is None:
            return
        _log_complete(record, generation, quiet_s)
        if generation.state is State.QUEUED:
            self._unsubmitted.append((record.key, generation.number))
            self._hand_over()

    def _hand_over(self) -> None:
        """Submit complete series; where the database does not take one now, later."""
        try:
            while self._unsubmitted:
                self._submit(*self._unsubmitted[0])
                self._unsubmitted.pop(0)
        except Exception as error:  # the engine's errors are of many kinds
            LOG.exception("not_submitted", extra={"error": type(error).__name__})

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


def _do(event: _Do) -> None:
    try:
        event.action()
    except Exception:  # the sorting goes on
        LOG.exception("action_failed")
    finally:
        event.done.set()


def _is_ct(record: SeriesRecord) -> bool:
    return bool(set(record.sop_classes) & set(CT_CLASSES))


def _missing(record: SeriesRecord, clues: Clues) -> str:
    """Say what a series lacks, as far as is known."""
    if not _is_ct(record):
        return ""
    parts = [describe_gaps(clues.places)]
    if clues.expected is not None and clues.expected > clues.images:
        parts.insert(0, f"the sender holds {clues.expected} images, {clues.images} came")
    return "; ".join(part for part in parts if part)


def _log_complete(record: SeriesRecord, generation: Generation, quiet_s: float) -> None:
    extra = {
        "series": record.series_uid,
        "generation": generation.number,
        "images": len(generation.images),
    }
    received_s = record.last_received - record.first_received
    LOG.info("received_last_image", extra={**extra, "seconds": round(received_s, 3)})
    LOG.info(
        "complete",
        extra={
            **extra,
            "state": generation.state,
            "evidence": generation.evidence,
            "missing": generation.missing,
            "seconds": round(quiet_s, 3),
            "seconds_since_last_image": round(now_s() - record.last_received, 3),
        },
    )


def _judge_unread(record: SeriesRecord, generation: Generation) -> None:
    """End what needs no computation: results that came back, and no DICOM."""
    if not record.series_uid:
        generation.state = State.REJECTED
        generation.code = "unreadable"
        generation.reason = "the object holds no readable SeriesInstanceUID"
    elif record.sop_classes and set(record.sop_classes) <= NO_INPUT_CLASSES:
        generation.state = State.IGNORED
        generation.code = "result-object"
        generation.reason = "segmentations, reports and the like are results, no input"
