"""What the node knows of each series: one JSON file beside its images.

The files are written durably and can be read while the node runs or not;
``aspects-node status`` shows them.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel

from node.errors import ConfigError
from node.files import sync_folder, write_durably
from node.status import is_stored

RECORD: Final = "record.json"
IMAGES: Final = "images"
CHANGED: Final = "changed"
RESULTS: Final = "results"

RECORD_FORMAT: Final = 1
"""Raised when an older version would misread a record.

A record without one is of format 1. What a new key means where it is absent, its
default says; when a key changes its meaning, `read_record` turns old into new.
"""

T = TypeVar("T")


class State(StrEnum):
    """Where a series stands."""

    RECEIVING = "RECEIVING"
    QUEUED = "QUEUED"
    COMPUTING = "COMPUTING"
    DELIVERING = "DELIVERING"
    DONE = "DONE"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    IGNORED = "IGNORED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"


class DeliveryState(StrEnum):
    """Where the results stand at one destination."""

    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    PARTLY = "PARTLY"
    """Delivered but for what the destination does not take, whenever it is offered."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"


class CommitState(StrEnum):
    """Where a request for storage commitment stands."""

    ASKED = "ASKED"
    COMMITTED = "COMMITTED"
    FAILED = "FAILED"


class Commitment(BaseModel):
    """Whether a destination says that it keeps the results.

    Attributes
    ----------
    transaction : str
        ``TransactionUID`` (0008,1195) of the last request.
    state : CommitState
    attempts : int
    """

    transaction: str
    state: CommitState = CommitState.ASKED
    attempts: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is asked."""
        return self.state is not CommitState.ASKED


class DeliveryRecord(BaseModel):
    """The results of one generation on their way to one destination.

    Attributes
    ----------
    state : DeliveryState
    since : float
        Seconds since the epoch at which it began, or was last retried by hand.
    attempts : int
    begun : float
        Seconds since the epoch at which the last attempt began.
    next_attempt : float or None
        Seconds since the epoch.
    code, reason : str
        Of the last failure.
    statuses : dict of str to int
        Last C-STORE status of each object.
    commitment : Commitment or None
        None where it was not asked for.
    """

    state: DeliveryState = DeliveryState.WAITING
    since: float
    attempts: int = 0
    begun: float = 0.0
    next_attempt: float | None = None
    code: str = ""
    reason: str = ""
    statuses: dict[str, int] = {}
    commitment: Commitment | None = None

    @property
    def stored(self) -> list[str]:
        """The objects that the destination has."""
        return [name for name, status in self.statuses.items() if is_stored(status)]


class Happening(BaseModel):
    """Something that happened to a series, for people to read.

    Attributes
    ----------
    at : float
        Seconds since the epoch.
    what : str
        One word: a state, ``"asked"``, ``"delivery"``, ``"commitment"``.
    detail : str
    generation : int
        0 where it concerns none.
    """

    at: float
    what: str
    detail: str = ""
    generation: int = 0


class Generation(BaseModel):
    """One computation of a series: a fixed list of images and what became of it.

    Attributes
    ----------
    number : int
        From 1.
    images : list of str
        File names in the series' folder of images.
    state : State
    complete : float
        Seconds since the epoch at which the list was fixed.
    last_received : float
        Seconds since the epoch of the last image of the list.
    begun : float
        Seconds since the epoch at which its computation began last.
    now : str
        Date and time that goes into the results, ISO 8601; empty until known.
    evidence : str
        What spoke for the series being complete, see `node.evidence`.
    missing : str
        What it seemed to lack all the same, in words.
    levels : tuple of int or None
        Ganglionic and supraganglionic slice that a person chose, 0-based from
        inferior to superior.
    suitability : str
        How well it suits the method, in words, see `node.series_rules`.
    score : float
        The same from 0 to 1.
    preferred, urgent : bool
        Whether a rule says so.
    replaces : str
        Key of the series of the study whose results these take the place of.
    code, reason, quality : str
    objects : list of str
        File names of the results, in the order of delivery.
    timings_s : dict of str to float
    deliveries : dict of str to DeliveryRecord
        By the destination's name.
    """

    number: int
    images: list[str]
    state: State = State.QUEUED
    complete: float
    last_received: float
    begun: float = 0.0
    now: str = ""
    evidence: str = ""
    missing: str = ""
    levels: tuple[int, int] | None = None
    suitability: str = ""
    score: float = 0.0
    preferred: bool = False
    urgent: bool = False
    replaces: str = ""
    code: str = ""
    reason: str = ""
    quality: str = ""
    objects: list[str] = []
    timings_s: dict[str, float] = {}
    deliveries: dict[str, DeliveryRecord] = {}


class SeriesRecord(BaseModel):
    """One series.

    Attributes
    ----------
    record_format : int
    key : str
        Name of its folder: a hash of the SeriesInstanceUID.
    series_uid : str
        ``SeriesInstanceUID`` (0020,000E); empty where it could not be read.
    study_uid : str
        ``StudyInstanceUID`` (0020,000D); empty where it could not be read.
    calling_ae : str
        AE title of the application that sent the first image.
    sop_classes : list of str
    first_received, last_received : float
        Seconds since the epoch.
    receiving : bool
        Images came that belong to no generation yet.
    generations : list of Generation
    history : list of Happening
        The oldest first.
    """

    record_format: int = RECORD_FORMAT
    key: str
    series_uid: str
    study_uid: str = ""
    calling_ae: str
    sop_classes: list[str] = []
    first_received: float
    last_received: float
    receiving: bool = True
    generations: list[Generation] = []
    history: list[Happening] = []

    @property
    def latest(self) -> Generation | None:
        """The newest generation, or None."""
        return self.generations[-1] if self.generations else None

    @property
    def state(self) -> State:
        """Where the series stands."""
        if self.receiving or self.latest is None:
            return State.RECEIVING
        return self.latest.state

    def generation(self, number: int) -> Generation:
        """Return a generation by its number.

        Raises
        ------
        KeyError
            There is no such generation.
        """
        for generation in self.generations:
            if generation.number == number:
                return generation
        raise KeyError(number)


class _Format(BaseModel):
    """What a record of any version can be asked."""

    record_format: int = 1


def state_after(deliveries: Collection[DeliveryRecord]) -> State:
    """Return the state of a generation from those of its deliveries.

    Examples
    --------
    >>> state_after([])
    <State.DONE: 'DONE'>
    """
    states = {delivery.state for delivery in deliveries}
    for found, state in (
        (DeliveryState.WAITING, State.DELIVERING),
        (DeliveryState.FAILED, State.FAILED),
        (DeliveryState.CANCELLED, State.CANCELLED),
    ):
        if found in states:
            return state
    return State.SUPERSEDED if states == {DeliveryState.SUPERSEDED} else State.DONE


def series_key(series_uid: str) -> str:
    """Return the name of a series' folder.

    The peer's UID is never a path: it may hold anything.

    Examples
    --------
    >>> series_key("1.2.3")
    'c47f5b18b8a430e698b9fe15'
    """
    return short_hash(series_uid.encode())


def short_hash(data: bytes) -> str:
    """Return the first 96 bits of the SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:24]


Listener = Callable[[SeriesRecord | None, SeriesRecord], None]
"""``listener(before, after)`` hears of each change before it is on disk. It is
called under the ledger's lock: it must be quick, and may add to ``after.history``."""


class Ledger:
    """All series of a data folder; safe to use from several threads.

    Parameters
    ----------
    folder : Path
        Made where it is absent.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.RLock()
        self._records = {record.key: record for record in read_records(folder)}
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Let somebody hear of each change from now on."""
        self._listeners.append(listener)

    def keys_of_all(self) -> tuple[str, ...]:
        """Return the keys of all series."""
        with self._lock:
            return tuple(self._records)

    def keys_of_study(self, study_uid: str) -> tuple[str, ...]:
        """Return the keys of the series of a study."""
        with self._lock:
            return tuple(
                key for key, record in self._records.items() if record.study_uid == study_uid
            )

    def get(self, key: str) -> SeriesRecord | None:
        """Return a copy of a series' record, or None."""
        with self._lock:
            record = self._records.get(key)
            return None if record is None else record.model_copy(deep=True)

    def survey(self, look: Callable[[Iterable[SeriesRecord]], T]) -> T:
        """Look through all records without copying them; nothing may be changed or kept."""
        with self._lock:
            return look(self._records.values())

    def is_receiving(self, key: str) -> bool | None:
        """Tell whether a series is being received; None where there is none.

        Asked for each image: copying the record for it would take longer than
        the rest of sorting.
        """
        with self._lock:
            record = self._records.get(key)
            return None if record is None else record.receiving

    def add(self, record: SeriesRecord) -> None:
        """Take up a new series and make its folders."""
        with self._lock:
            for name in (IMAGES, RESULTS):
                (self.folder / record.key / name).mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder / record.key)
            sync_folder(self.folder)
            self._tell(None, record)
            self._write(record)
            self._records[record.key] = record

    def remove(self, key: str, trash: Path, may_go: Callable[[SeriesRecord], bool]) -> bool:
        """Take a series out, its folder into another one; False where it may not go.

        After a crash it is there as it was, or gone.
        """
        with self._lock:
            record = self._records.get(key)
            if record is None or not may_go(record):
                return False
            (self.folder / key).rename(trash / key)
            sync_folder(self.folder)
            del self._records[key]
            return True

    @contextmanager
    def change(self, key: str) -> Iterator[SeriesRecord]:
        """Change a series' record; it is on disk when the block ends.

        Raises
        ------
        KeyError
            There is no such series.
        """
        with self._lock:
            before = self._records[key]
            record = before.model_copy(deep=True)
            yield record
            self._tell(before, record)
            self._write(record)
            self._records[key] = record

    def touch(self, key: str, received: float, sop_class: str) -> None:
        """Note one more image in memory; the image's file is the durable trace."""
        with self._lock:
            record = self._records[key]
            record.last_received = max(record.last_received, received)
            if sop_class not in record.sop_classes:
                record.sop_classes.append(sop_class)

    def images(self, key: str) -> Path:
        """Return the folder of a series' images."""
        return self.folder / key / IMAGES

    def results(self, key: str, generation: int) -> Path:
        """Return the folder of a generation's results."""
        return self.folder / key / RESULTS / f"{generation:04d}"

    def _tell(self, before: SeriesRecord | None, after: SeriesRecord) -> None:
        for listener in self._listeners:
            listener(before, after)

    def _write(self, record: SeriesRecord) -> None:
        path = self.folder / record.key / RECORD
        write_durably(path, record.model_dump_json(indent=1).encode())


def read_records(folder: Path) -> list[SeriesRecord]:
    """Read the records of all series, the oldest first.

    A record that cannot be read is left out; the node makes it again from the
    images when it starts.

    Raises
    ------
    ConfigError
        A newer version wrote one of them.
    """
    records = []
    for path in folder.glob(f"*/{RECORD}"):
        try:
            records.append(read_record(path))
        except (ValueError, OSError):
            continue
    return sorted(records, key=lambda record: record.first_received)


def read_record(path: Path) -> SeriesRecord:
    """Read the record of a series, of this version or an older one.

    Raises
    ------
    ConfigError
        A newer version wrote it. To leave it out would be to compute it again.
    ValueError
        It is damaged.
    OSError
        It cannot be read.
    """
    content = path.read_bytes()
    found = _Format.model_validate_json(content).record_format
    if found > RECORD_FORMAT:
        raise ConfigError(
            f"data_folder: a newer version wrote {path} (format {found}, this one knows "
            f"{RECORD_FORMAT}): run that version, or restore the backup made before the upgrade"
        )
    return SeriesRecord.model_validate_json(content)


def now_s() -> float:
    """Return the seconds since the epoch."""
    return time.time()
