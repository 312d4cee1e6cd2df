"""What happened to a series, step by step, for people to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.state import DeliveryRecord, Generation, Happening, SeriesRecord, State, now_s

MOST: Final = 200
"""So many are kept of a series: the first half and the newest."""


def note(before: SeriesRecord | None, after: SeriesRecord) -> None:
    """Add to a record's history what the change is about to make of it.

    Listens to a `node.state.Ledger`.
    """
    at = now_s()
    for generation, what, detail in _changes(before, after):
        add(after, Happening(at=at, what=what, detail=detail, generation=generation))


def add(record: SeriesRecord, happening: Happening) -> None:
    """Add one entry; where there are too many the oldest of the second half goes."""
    record.history.append(happening)
    if len(record.history) > MOST:
        del record.history[MOST // 2]


def _changes(before: SeriesRecord | None, after: SeriesRecord) -> Iterator[tuple[int, str, str]]:
    was = before is not None and before.receiving
    if after.receiving and not was:
        yield 0, State.RECEIVING, "" if before is None else "more images came"
    earlier = {} if before is None else {item.number: item for item in before.generations}
    for generation in after.generations:
        for what, detail in _of_generation(earlier.get(generation.number), generation):
            yield generation.number, what, detail


def _of_generation(before: Generation | None, after: Generation) -> Iterator[tuple[str, str]]:
    deliveries = {} if before is None else before.deliveries
    for name, delivery in after.deliveries.items():
        yield from _of_delivery(name, deliveries.get(name), delivery)
    if before is None or before.state is not after.state:
        yield after.state, _detail(after)


def _detail(generation: Generation) -> str:
    """Say about a state what it does not say itself."""
    if generation.state is State.QUEUED:
        return f"{len(generation.images)} images"
    if generation.state is State.DELIVERING:
        return f"quality {generation.quality}" if generation.quality else ""
    return ": ".join(part for part in (generation.code, generation.reason) if part)


def _of_delivery(
    name: str, before: DeliveryRecord | None, after: DeliveryRecord
) -> Iterator[tuple[str, str]]:
    if before is None:
        return
    if after.next_attempt is not None and after.next_attempt != before.next_attempt:
        yield "delivery", f"{name}: attempt {after.attempts} failed: {after.reason}"
    if after.state is not before.state:
        why = f": {after.reason}" if after.reason else ""
        yield "delivery", f"{name}: {after.state.lower()}{why}"
    if after.commitment is not None and (
        before.commitment is None or before.commitment.state is not after.commitment.state
    ):
        yield "commitment", f"{name}: {after.commitment.state.lower()}"
