"""Whether the node is fit to work, and its work moves on.

A node that still takes images but brings nothing to an end is worse than one
that is down: nobody notices. So each stage has an age at which it is stalled.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.config import NodeConfig
from node.incoming import arrivals
from node.state import DeliveryState, Generation, Ledger, SeriesRecord, State, now_s

LOG = logging.getLogger(__name__)

WATCH_S: Final = 5.0
"""How often the watchdog looks, in seconds."""

_UNFINISHED: Final = (State.RECEIVING, State.QUEUED, State.COMPUTING, State.DELIVERING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong, or not as it should be.

    Attributes
    ----------
    code : str
        ``"disk"``, ``"not-listening"``, ``"stalled"`` or ``"undelivered"``.
    text : str
        What it is and what to do; names a series, never a patient.
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What there is to do, as the records say.

    Attributes
    ----------
    counts : mapping of State to int
        Series in each state; a state that none is in is left out.
    oldest : mapping of State to (float, str)
        Of what is unfinished: since when the oldest is in its state, in seconds
        since the epoch, and its SeriesInstanceUID.
    due : (float, str) or None
        When the delivery that is longest overdue should have been tried.
    last_begun : float
        When the last computation began; 0 where none did.
    """

    counts: Mapping[State, int]
    oldest: Mapping[State, tuple[float, str]]
    due: tuple[float, str] | None
    last_begun: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether the node is fit to work.

    Attributes
    ----------
    problems : tuple of Problem
        With any of them the node is not ready.
    warnings : tuple of Problem
        Somebody should look, but the node works: a destination is down for long.
    counts : mapping of State to int
    oldest_s : mapping of State to float
        Age of the oldest series in each unfinished state.
    free_disk : int
        In bytes.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    counts: Mapping[State, int] = field(default_factory=dict)
    oldest_s: Mapping[State, float] = field(default_factory=dict)
    free_disk: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether nothing is in the way."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "ready": self.is_ready,
            "problems": [{"code": item.code, "text": item.text} for item in self.problems],
            "warnings": [{"code": item.code, "text": item.text} for item in self.warnings],
            "series": {str(state): count for state, count in self.counts.items()},
            "oldest_s": {str(state): round(age, 1) for state, age in self.oldest_s.items()},
            "free_disk": self.free_disk,
        }


def survey(records: Iterable[SeriesRecord]) -> Work:
    """Look through all records for what is unfinished."""
    counts: dict[State, int] = {}
    oldest: dict[State, tuple[float, str]] = {}
    due: list[tuple[float, str]] = []
    last_begun = 0.0
    for record in records:
        counts[record.state] = counts.get(record.state, 0) + 1
        since = _since(record)
        if since is not None:
            entry = (since, record.series_uid)
            oldest[record.state] = min(oldest.get(record.state, entry), entry)
        for generation in record.generations:
            last_begun = max(last_begun, generation.begun)
            due += [(at, record.series_uid) for at in _dues(generation)]
    return Work(counts=counts, oldest=oldest, due=min(due, default=None), last_begun=last_begun)


def _since(record: SeriesRecord) -> float | None:
    """Return since when a series is in its state; None where it is at an end."""
    state, latest = record.state, record.latest
    if state is State.RECEIVING:
        return record.last_received
    if latest is None or state not in _UNFINISHED:
        return None
    if state is State.DELIVERING:
        return min((item.since for item in latest.deliveries.values()), default=latest.complete)
    return latest.begun if state is State.COMPUTING else latest.complete


def _dues(generation: Generation) -> list[float]:
    return [
        item.next_attempt or item.begun or item.since
        for item in generation.deliveries.values()
        if item.state is DeliveryState.WAITING
    ]


def readiness(
    config: NodeConfig, work: Work, *, now: float, started: float, free_disk: int, unsorted: float
) -> Readiness:
    """Judge whether the node is fit to work.

    Parameters
    ----------
    config : NodeConfig
    work : Work
    now, started : float
        Seconds since the epoch; what waited before the start has its time anew.
    free_disk : int
        In bytes.
    unsorted : float
        When the oldest object came that is not sorted into its series; `now`
        where there is none.
    """
    stalled = (*_standing(config, work, now, started), *_waiting(config, work, now, started))
    if now - max(unsorted, started) > config.stalled_after_s:
        stalled += (f"an object that came {now - unsorted:.0f} s ago is not sorted",)
    problems = [Problem(code="stalled", text=f"{text}: restart the node") for text in stalled]
    if free_disk < config.min_free_disk:
        text = f"{free_disk >> 20} MiB are free, min_free_disk is {config.min_free_disk >> 20} MiB"
        problems.append(Problem(code="disk", text=f"{text}: nothing is accepted"))
    return Readiness(
        problems=tuple(problems),
        warnings=_late(config, work, now),
        counts=dict(work.counts),
        oldest_s={state: max(0.0, now - at) for state, (at, _) in work.oldest.items()},
        free_disk=free_disk,
    )


def _standing(config: NodeConfig, work: Work, now: float, started: float) -> tuple[str, ...]:
    """Name what is longer in its state than it can be."""
    limits = {
        State.RECEIVING: config.longest_quiet_time_s,
        State.COMPUTING: config.compute_time_limit_s * config.compute_attempts,
    }
    return tuple(
        f"series {uid} is {state} for {now - since:.0f} s"
        for state, limit in limits.items()
        for since, uid in [work.oldest.get(state, (now, ""))]
        if now - max(since, started) > limit + config.stalled_after_s
    )


def _waiting(config: NodeConfig, work: Work, now: float, started: float) -> tuple[str, ...]:
    """Name what waits for a turn that should have come."""
    stalled = []
    since, uid = work.oldest.get(State.QUEUED, (now, ""))
    longest = config.compute_time_limit_s * config.compute_attempts + config.stalled_after_s
    if now - max(since, work.last_begun, started) > longest:
        stalled.append(f"series {uid} waits for {now - since:.0f} s and no computation begins")
    due, uid = work.due or (now, "")
    if now - max(due, started) > config.delivery.timeout_s + config.stalled_after_s:
        stalled.append(f"the delivery of series {uid} is overdue by {now - due:.0f} s")
    return tuple(stalled)


def _late(config: NodeConfig, work: Work, now: float) -> tuple[Problem, ...]:
    since, uid = work.oldest.get(State.DELIVERING, (now, ""))
    if now - since <= config.stalled_after_s:
        return ()
    text = f"the results of series {uid} are not delivered for {now - since:.0f} s: see status"
    return (Problem(code="undelivered", text=text),)


class Watchdog:
    """Looks after the node's work, and says when it stands still.

    Parameters
    ----------
    config : NodeConfig
    ledger : Ledger
    incoming : Path
        Folder of what is not sorted yet.
    is_listening : callable
        Whether the port is open.
    """

    def __init__(
        self,
        config: NodeConfig,
        ledger: Ledger,
        incoming: Path,
        is_listening: Callable[[], bool] = lambda: True,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._incoming = incoming
        self._is_listening = is_listening
        self._started = now_s()
        self._said: frozenset[str] = frozenset()
        self._next_look = 0.0

    def readiness(self) -> Readiness:
        """Judge now; cheap enough for every request of a health check."""
        now = now_s()
        found = readiness(
            self._config,
            # under the lock the list alone is copied: nobody who receives has to wait
            survey(self._ledger.survey(tuple)),
            now=now,
            started=self._started,
            free_disk=shutil.disk_usage(self._incoming).free,
            unsorted=min(_arrivals(self._incoming), default=now),
        )
        if self._is_listening():
            return found
        closed = Problem(code="not-listening", text="the DICOM port is not open")
        return Readiness(
            problems=(closed, *found.problems),
            warnings=found.warnings,
            counts=found.counts,
            oldest_s=found.oldest_s,
            free_disk=found.free_disk,
        )

    def look(self) -> None:
        """Log what went wrong since the last look, and what is right again."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + WATCH_S
        found = self.readiness()
        said = frozenset(item.code for item in (*found.problems, *found.warnings))
        for item in found.problems:
            if item.code not in self._said:
                LOG.error("not_ready", extra={"code": item.code, "reason": item.text})
        for item in found.warnings:
            if item.code not in self._said:
                LOG.warning("needs_attention", extra={"code": item.code, "reason": item.text})
        for code in sorted(self._said - said):
            LOG.info("well_again", extra={"code": code})
        self._said = said


def _arrivals(incoming: Path) -> Iterable[float]:
    for path in arrivals(incoming):
        try:
            yield path.stat().st_mtime
        except FileNotFoundError:  # sorted in the meantime
            continue
