"""What people ask of a node: try again, send again, compute again, stop.

A command leaves a file in the data folder; the running node looks there twice a
second, a stopped one when it starts. The name says what is asked for:
``<series>.<verb>``; the first line of the content may name a destination or
levels, the second says who asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.files import write_durably
from node.objects import is_note
from node.state import (
    DeliveryState,
    Generation,
    Happening,
    Ledger,
    SeriesRecord,
    State,
    now_s,
    series_key,
    state_after,
)
from node.workflow import Engine

LOG = logging.getLogger(__name__)

FOLDER: Final = "requests"

RETRIED: Final = frozenset({State.REJECTED, State.FAILED, State.DELIVERING, State.CANCELLED})
"""States in which there is something to try again."""

CANCELLED: Final = frozenset({State.QUEUED, State.COMPUTING, State.DELIVERING})
"""States in which there is something to stop."""

REPROCESSED: Final = frozenset(
    {State.DONE, State.REJECTED, State.FAILED, State.CANCELLED, State.IGNORED}
)
"""States in which a series can be computed again."""

CHOSEN: Final = REPROCESSED | {State.DELIVERING}
"""States in which levels can be chosen: wrong ones need not wait for a peer that is down."""

_Act = Callable[[Engine, Ledger, SeriesRecord, str], bool]


def request(
    data_folder: Path, verb: str, series_uid: str, argument: str = "", *, by: str = ""
) -> None:
    """Leave a wish; a running node sees it within a second.

    Parameters
    ----------
    data_folder : Path
    verb : str
        One of ``VERBS``.
    series_uid : str
    argument : str
        A destination of ``resend``; both slices of ``levels``, ``"16,20"``.
    by : str
        Who asked, for the history of the series.
    """
    folder = data_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / f"{series_key(series_uid)}.{verb}", f"{argument}\n{by}".encode())


def refusal(record: SeriesRecord, verb: str, argument: str = "") -> str | None:
    """Say why something cannot be asked for now; None where it can."""
    if record.state not in _ALLOWED[verb]:
        return f"the series is {record.state}: {_REFUSALS[verb]}"
    deliveries = record.latest.deliveries if record.latest else {}
    if verb == "resend" and (not deliveries or (argument and argument not in deliveries)):
        return "nothing was sent" + (f" to {argument}" if argument else "")
    if verb == "levels" and _read_levels(argument, record) is None:
        return (
            "two slices of the series are needed, the ganglionic below the supraganglionic, "
            "0-based from inferior to superior"
        )
    return None


def _read_levels(argument: str, record: SeriesRecord) -> tuple[int, int] | None:
    """Return the two slices; None where they cannot be slices of the series."""
    parts = argument.split(",")
    if record.latest is None or len(parts) != 2 or not all(part.isdecimal() for part in parts):
        return None
    lower, upper = (int(part) for part in parts)
    return (lower, upper) if lower < upper < len(record.latest.images) else None


def look_at_requests(folder: Path, engine: Engine, ledger: Ledger) -> None:
    """Do what was asked for, once each."""
    for path in sorted(folder.iterdir()):
        act = _ACTS.get(path.suffix.removeprefix("."))
        if act is None:  # a half-written one, or not ours
            continue
        record = ledger.get(path.stem)
        argument, _, by = path.read_text(encoding="utf-8").partition("\n")
        verb = path.suffix.removeprefix(".")
        asked_at = now_s()
        done = record is not None and act(engine, ledger, record, argument)
        if record is not None and done:
            detail = f"{verb} {argument}".strip() + (f", by {by}" if by else "")
            _note(ledger, record, Happening(at=asked_at, what="asked", detail=detail))
        path.unlink(missing_ok=True)
        LOG.info(verb if done else f"nothing_to_{verb}", extra={"file": path.stem})


def _note(ledger: Ledger, before: SeriesRecord, happening: Happening) -> None:
    """Write down what was asked for, before what came of it."""
    with ledger.change(before.key) as record:
        record.history.insert(len(before.history), happening)


def _retry(engine: Engine, ledger: Ledger, record: SeriesRecord, destination: str) -> bool:
    """Try again what was rejected, failed or stopped, or waits for its next attempt.

    Results that exist are offered again as they are; a series without any is
    computed again from all its images, with the date and time of before.
    """
    del destination
    latest = record.latest
    if latest is None or latest.state not in RETRIED:
        return False
    if latest.objects and latest.deliveries and not is_note(latest.objects):
        for name in latest.deliveries:
            _offer_again(engine, ledger, record.key, latest, name)
        return True
    return latest.state is not State.DELIVERING and _compute_again(engine, ledger, record)


def _offer_again(
    engine: Engine, ledger: Ledger, key: str, latest: Generation, destination: str
) -> None:
    delivery = latest.deliveries[destination]
    attempt = delivery.attempts + 1
    if delivery.state is DeliveryState.WAITING:
        engine.hurry(key, latest.number, destination, attempt)
    elif delivery.state in {DeliveryState.FAILED, DeliveryState.CANCELLED}:
        _revive(ledger, key, latest.number, destination)
        engine.deliver(key, latest.number, destination, attempt)


def _revive(ledger: Ledger, key: str, number: int, destination: str) -> None:
    with ledger.change(key) as record:
        generation = record.generation(number)
        if not is_note(generation.objects):
            generation.state = State.DELIVERING
        delivery = generation.deliveries[destination]
        delivery.state, delivery.since = DeliveryState.WAITING, now_s()


def _resend(engine: Engine, ledger: Ledger, record: SeriesRecord, destination: str) -> bool:
    """Send results again that a destination had accepted; the same UIDs."""
    latest = record.latest
    if latest is None or latest.state is State.SUPERSEDED:
        return False
    names = [
        name
        for name, delivery in latest.deliveries.items()
        if delivery.state is not DeliveryState.WAITING and destination in {"", name}
    ]
    for name in names:
        with ledger.change(record.key) as changed:
            changed.generation(latest.number).deliveries[name].statuses = {}
        _revive(ledger, record.key, latest.number, name)
        attempt = latest.deliveries[name].attempts + 1
        engine.deliver(record.key, latest.number, name, attempt)
    return bool(names)


def _cancel(engine: Engine, ledger: Ledger, record: SeriesRecord, destination: str) -> bool:
    """Stop what was not finished; a running computation ends, unheard."""
    del destination
    latest = record.latest
    if latest is None or latest.state not in CANCELLED:
        return False
    for name, delivery in latest.deliveries.items():
        engine.drop(record.key, latest.number, name, delivery.attempts + 1)
    with ledger.change(record.key) as changed:
        generation = changed.generation(latest.number)
        for delivery in generation.deliveries.values():
            if delivery.state is DeliveryState.WAITING:
                delivery.state, delivery.next_attempt = DeliveryState.CANCELLED, None
                delivery.attempts += 1  # the one that was dropped: its id is used up
        deliveries = list(generation.deliveries.values())
        generation.state = state_after(deliveries) if deliveries else State.CANCELLED
    return True


def _reprocess(engine: Engine, ledger: Ledger, record: SeriesRecord, destination: str) -> bool:
    """Compute a series again, whatever came of it."""
    del destination
    latest = record.latest
    if latest is None or latest.state not in REPROCESSED:
        return False
    return _compute_again(engine, ledger, record)


def _levels(engine: Engine, ledger: Ledger, record: SeriesRecord, argument: str) -> bool:
    """Compute a series again, on the two slices that a person chose."""
    levels = _read_levels(argument, record)
    if levels is None or record.state not in CHOSEN:
        return False
    return _compute_again(engine, ledger, record, levels)


def _compute_again(
    engine: Engine,
    ledger: Ledger,
    record: SeriesRecord,
    levels: tuple[int, int] | None = None,
) -> bool:
    """Compute again; the slices that a person chose hold until others are chosen."""
    with ledger.change(record.key) as changed:
        before = changed.generations[-1]
        levels = levels or before.levels
        generation = Generation(
            number=before.number + 1,
            images=sorted(path.name for path in ledger.images(record.key).iterdir()),
            complete=now_s(),
            last_received=changed.last_received,
            now=_moment(changed, levels),
            evidence=before.evidence,
            missing=before.missing,
            suitability=before.suitability,
            score=before.score,
            preferred=before.preferred,
            urgent=before.urgent,
            replaces=before.replaces,
            levels=levels,
        )
        changed.generations.append(generation)
    engine.submit(record.key, generation.number)
    return True


def _moment(record: SeriesRecord, levels: tuple[int, int] | None) -> str:
    """Return the date and time of the earlier results on the same slices.

    The same input gives the same UIDs, and so has to give the same bytes.
    """
    alike = [item.now for item in record.generations if item.levels == levels and item.now]
    return alike[-1] if alike else ""


_ACTS: Final[dict[str, _Act]] = {
    "retry": _retry,
    "resend": _resend,
    "cancel": _cancel,
    "reprocess": _reprocess,
    "levels": _levels,
}

VERBS: Final = tuple(_ACTS)
"""What can be asked for."""

_ALLOWED: Final[dict[str, frozenset[State]]] = {
    "retry": RETRIED,
    "resend": frozenset(State),
    "cancel": CANCELLED,
    "reprocess": REPROCESSED,
    "levels": CHOSEN,
}
_REFUSALS: Final = {
    "retry": "nothing to try again",
    "resend": "nothing was sent",
    "cancel": "nothing to stop",
    "reprocess": "it cannot be computed again now",
    "levels": "it cannot be computed again now",
}
