"""What people are told of: read off the change of a record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel

from node.notify.settings import REPORTS, EventName, Notification
from node.objects import is_note
from node.state import (
    DeliveryRecord,
    DeliveryState,
    Generation,
    SeriesRecord,
    State,
    now_s,
    short_hash,
)

NOTIFIED: Final = "notified"
"""What the history of a series calls it."""
_ARRIVED: Final = frozenset({DeliveryState.DELIVERED, DeliveryState.PARTLY})


class Notice(BaseModel):
    """Something to tell, and how far the telling got.

    Holds nothing of the patient: what is wanted of that is read when it is sent.

    Attributes
    ----------
    id : str
        The same for the same happening, however often it is told.
    event : str
    at : float
        Seconds since the epoch.
    key, series_uid, study_uid : str
    generation : int
    state, quality, code, reason : str
    destination : str
        Of a delivery that was given up, or of the first that has the results.
    attempts : int
    next_attempt : float
        Seconds since the epoch.
    """

    id: str
    event: EventName
    at: float
    key: str
    series_uid: str
    study_uid: str
    generation: int
    state: str
    quality: str = ""
    code: str = ""
    reason: str = ""
    destination: str = ""
    attempts: int = 0
    next_attempt: float = 0.0

    @property
    def time(self) -> str:
        """When it happened, ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds")


def event_for(target: Notification, notice: Notice) -> EventName | None:
    """Return as what a target is told of a notice; None where it does not want it.

    A warning is a result as well: who asked for results alone gets it as one.
    """
    names: tuple[EventName, ...] = ("warning", "result") if notice.event == "warning" else (
        notice.event,
    )  # fmt: skip
    return next((name for name in names if name in target.wanted), None)


def notices(before: SeriesRecord | None, after: SeriesRecord) -> Iterator[Notice]:
    """Yield what there is to tell of a change."""
    known = {} if before is None else {item.number: item for item in before.generations}
    for generation in after.generations:
        earlier = known.get(generation.number)
        ended = _ended(earlier, generation)
        if ended is not None:
            yield _notice(after, generation, ended)
        for name, delivery in _given_up(earlier, generation):
            yield _notice(after, generation, "dead-letter", name, delivery)
        arrived = _first_arrived(earlier, generation)
        if arrived is not None and not _was_told(after, generation.number):
            event: EventName = "result" if generation.quality == "pass" else "warning"
            yield _notice(after, generation, event, arrived)


def _ended(before: Generation | None, after: Generation) -> EventName | None:
    """Tell whether a computation ended without results."""
    if before is not None and before.state is after.state:
        return None
    if after.state is State.REJECTED:
        return "rejected"
    lost = any(item.state is DeliveryState.FAILED for item in after.deliveries.values())
    return "failure" if after.state is State.FAILED and not lost else None


def _given_up(before: Generation | None, after: Generation) -> Iterator[tuple[str, DeliveryRecord]]:
    for name, delivery in after.deliveries.items():
        earlier = before.deliveries.get(name) if before is not None else None
        was = None if earlier is None else earlier.state
        if delivery.state is DeliveryState.FAILED and was is not DeliveryState.FAILED:
            yield name, delivery


def _first_arrived(before: Generation | None, after: Generation) -> str | None:
    """Return the destination that has the results now, where none had them before."""
    if is_note(after.objects) or not after.quality:
        return None
    deliveries = {} if before is None else before.deliveries
    if any(item.state in _ARRIVED for item in deliveries.values()):
        return None
    arrived = (name for name, item in after.deliveries.items() if item.state in _ARRIVED)
    return next(arrived, None)


def _was_told(record: SeriesRecord, number: int) -> bool:
    """Tell whether a result was told of: it is not again when it is sent again."""
    return any(
        item.what == NOTIFIED
        and item.generation == number
        and item.detail.partition(" ")[0] in REPORTS
        for item in record.history
    )


def _notice(
    record: SeriesRecord,
    generation: Generation,
    event: EventName,
    destination: str = "",
    lost: DeliveryRecord | None = None,
) -> Notice:
    # one that was given up, tried again by a person and given up again is another
    since = "" if lost is None else repr(lost.since)
    parts = (record.key, str(generation.number), event, "" if lost is None else destination, since)
    return Notice(
        id=short_hash("\n".join(parts).encode()),
        event=event,
        at=now_s(),
        key=record.key,
        series_uid=record.series_uid,
        study_uid=record.study_uid,
        generation=generation.number,
        state=generation.state,
        quality=generation.quality,
        code=generation.code if lost is None else lost.code,
        reason=generation.reason if lost is None else lost.reason,
        destination=destination,
    )
