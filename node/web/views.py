"""What the pages and the REST API show of the records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from node.requests import refusal
from node.state import (
    DeliveryRecord,
    Generation,
    SeriesRecord,
    State,
    now_s,
)
from node.status import is_stored, meaning_of

GROUPS: Final[dict[str, frozenset[State]]] = {
    "all": frozenset(State),
    "working": frozenset({State.RECEIVING, State.QUEUED, State.COMPUTING, State.DELIVERING}),
    "done": frozenset({State.DONE}),
    "attention": frozenset({State.REJECTED, State.FAILED, State.CANCELLED}),
}
"""What the worklist can be narrowed to."""

_GROUPS_OF: Final = {
    state: tuple(name for name, states in GROUPS.items() if state in states) for state in State
}

ACTIONS: Final = ("retry", "resend", "reprocess", "cancel")

_AT_END: Final = frozenset({State.DONE, State.REJECTED, State.FAILED})


class StatusView(BaseModel):
    """The answer of a destination to one object."""

    name: str
    status: str
    text: str
    stored: bool


class DeliveryView(BaseModel):
    """The results on their way to one destination; times in seconds since the epoch."""

    destination: str
    state: str
    attempts: int
    next_attempt: float | None
    code: str
    reason: str
    commitment: str
    objects: list[StatusView]


class Row(BaseModel):
    """One series in the worklist; times in seconds since the epoch."""

    key: str
    series_uid: str
    state: str
    code: str
    reason: str
    quality: str
    images: int
    generation: int
    calling_ae: str
    levels_by_person: bool
    first_received: float
    last_received: float
    age_s: float
    seconds: float | None
    deliveries: dict[str, str]


class Event(BaseModel):
    """Something that happened."""

    at: float
    what: str
    detail: str
    generation: int


class SeriesView(Row):
    """All about one series."""

    study_uid: str
    sop_classes: list[str]
    evidence: str
    missing: str
    suitability: str
    chosen_levels: tuple[int, int] | None
    timings_s: dict[str, float]
    generations: list[int]
    objects: list[str]
    details: list[DeliveryView]
    history: list[Event]
    refusals: dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which series to list.

    Attributes
    ----------
    group : str
        Of ``GROUPS``.
    text : str
        Part of a UID or of the sender's AE title.
    first, count : int
    """

    group: str = "all"
    text: str = ""
    first: int = 0
    count: int = 50


class Page(BaseModel):
    """A part of the worklist, the newest series first."""

    total: int
    first: int
    counts: dict[str, int]
    series: list[Row]


def list_series(records: Iterable[SeriesRecord], selection: Selection) -> Page:
    """Return one page of the worklist."""
    found: list[SeriesRecord] = []
    counts = dict.fromkeys(GROUPS, 0)
    text = selection.text.strip().lower()
    for record in records:
        state = record.state
        for name in _GROUPS_OF[state]:
            counts[name] += 1
        if state in GROUPS[selection.group] and (not text or _is_meant(record, text)):
            found.append(record)
    found.sort(key=lambda record: (-record.first_received, record.key))
    part = found[selection.first : selection.first + selection.count]
    return Page(
        total=len(found),
        first=selection.first,
        counts=counts,
        series=[row_of(record) for record in part],
    )


def _is_meant(record: SeriesRecord, text: str) -> bool:
    places = (record.series_uid, record.study_uid, record.calling_ae.lower(), record.key)
    return any(text in place for place in places)


def row_of(record: SeriesRecord) -> Row:
    """Return what the worklist shows of a series."""
    latest = record.latest
    shown = None if record.state is State.RECEIVING else latest
    return Row(
        key=record.key,
        series_uid=record.series_uid,
        state=record.state,
        code=shown.code if shown else "",
        reason=_reason(record, shown),
        quality=shown.quality if shown else "",
        images=len(latest.images) if latest else 0,
        generation=latest.number if latest else 0,
        calling_ae=record.calling_ae,
        levels_by_person=latest is not None and latest.levels is not None,
        first_received=record.first_received,
        last_received=record.last_received,
        age_s=round(now_s() - record.last_received, 1),
        seconds=_seconds(record, shown),
        deliveries={name: item.state for name, item in (shown.deliveries if shown else {}).items()},
    )


def _reason(record: SeriesRecord, generation: Generation | None) -> str:
    if generation is None:
        return ""
    failed = [item.reason for item in generation.deliveries.values() if item.reason]
    said = generation.reason or "; ".join(failed)
    # whoever reads it knows which series it is about
    about = said.removeprefix(f"series {record.series_uid}: ")
    return about[:1].upper() + about[1:] if about != said else said


def _seconds(record: SeriesRecord, generation: Generation | None) -> float | None:
    """Return how long the last image, or the person who asked, waited for the end."""
    if generation is None or generation.state not in _AT_END:
        return None
    before = [item for item in record.generations if item.number < generation.number]
    again = bool(before) and before[-1].images == generation.images
    start = generation.complete if again else generation.last_received
    ends = [
        item.at
        for item in record.history
        if item.generation == generation.number and item.what in _AT_END
    ]
    return round(max(0.0, ends[0] - start), 2) if ends else None


def view_of(record: SeriesRecord, number: int | None = None) -> SeriesView:
    """Return all about a series.

    Parameters
    ----------
    record : SeriesRecord
    number : int, optional
        Of the generation to show; the latest by default.

    Raises
    ------
    KeyError
        There is no such generation.
    """
    shown = record.latest if number is None else record.generation(number)
    return SeriesView(
        **row_of(record).model_dump(),
        study_uid=record.study_uid,
        sop_classes=record.sop_classes,
        evidence=shown.evidence if shown else "",
        missing=shown.missing if shown else "",
        suitability=shown.suitability if shown else "",
        chosen_levels=shown.levels if shown else None,
        timings_s=shown.timings_s if shown else {},
        generations=[item.number for item in record.generations],
        objects=shown.objects if shown else [],
        details=deliveries_of(shown),
        history=[Event(**item.model_dump()) for item in record.history],
        refusals={verb: refusal(record, verb) for verb in ACTIONS},
    )


def deliveries_of(generation: Generation | None) -> list[DeliveryView]:
    """Return the deliveries of a generation, by destination."""
    if generation is None:
        return []
    return [_delivery(name, item) for name, item in generation.deliveries.items()]


def _delivery(name: str, item: DeliveryRecord) -> DeliveryView:
    return DeliveryView(
        destination=name,
        state=item.state,
        attempts=item.attempts,
        next_attempt=item.next_attempt,
        code=item.code,
        reason=item.reason,
        commitment=item.commitment.state if item.commitment else "",
        objects=[_status(file, code) for file, code in item.statuses.items()],
    )


def _status(name: str, code: int) -> StatusView:
    return StatusView(
        name=name, status=f"0x{code:04X}", text=meaning_of(code).text, stored=is_stored(code)
    )
