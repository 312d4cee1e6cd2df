"""The work on a complete series, as durable steps.

1. *begin*: the list of images is fixed; the date and time of the results too.
2. *compute*: a worker process writes the results; a crash is tried again.
3. *deliver*: one workflow for each destination and attempt; a failed attempt
   enqueues the next one with its delay, so that nobody waits in memory.

Workflow ids are idempotency keys: ``<series>-<generation>``, and
``<series>-<generation>-<destination>-<attempt>``. After a crash each workflow
goes on at the step it had reached.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from dbos import DBOS, DBOSConfig, DBOSConfiguredInstance, SetEnqueueOptions, SetWorkflowID

from node.commitment_scu import CommitmentScu
from node.config import NodeConfig
from node.delivery import Deliverer, destinations
from node.errors import ComputeError, PoolStoppedError, WorkerError
from node.files import sync_file, sync_folder
from node.job import REPORTS, Ending, Job, Outcome
from node.objects import DEFAULT_OBJECTS, NOTE, is_note, to_make
from node.pool import Computer
from node.resume import Lost, adopt_older, find_lost
from node.series_rules import describe
from node.state import DeliveryRecord, Generation, Ledger, SeriesRecord, State, now_s
from node.status import is_stored

LOG = logging.getLogger(__name__)

_VERSION: Final = "1"
"""Changes when the steps change, so that no old workflow goes on in new steps.

What is unfinished at an upgrade begins anew, see `node.resume`.
"""

_LONG_AGO: Final = 1_700_000_000
"""Keeps priorities, seconds since the epoch, within 31 bits."""
_LAST: Final = 2**31 - 1
_COMPUTE_QUEUE: Final = "compute"
_DELIVERY_QUEUE: Final = "delivery"
_POLL_S: Final = 0.1
_DELIVERIES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the steps work with."""

    config: NodeConfig
    ledger: Ledger
    pool: Computer
    deliverer: Deliverer
    commitment: CommitmentScu
    atlas_folder: Path


@DBOS.dbos_class()
class Workflows(DBOSConfiguredInstance):
    """The durable steps.

    Parameters
    ----------
    tools : Tools
    """

    def __init__(self, tools: Tools) -> None:
        super().__init__(config_name="node")
        self._tools = tools

    @DBOS.workflow(name="process", max_recovery_attempts=None)
    def process(self, key: str, number: int) -> None:
        """Compute one generation of a series and hand its results to delivery."""
        if not self.begin(key, number):
            return
        for destination in self.compute(key, number):
            enqueue_delivery(self, key, number, destination, attempt=1)

    @DBOS.step(name="begin")
    def begin(self, key: str, number: int) -> bool:
        """Fix the date and time of the results; return False if superseded."""
        with self._tools.ledger.change(key) as record:
            generation = record.generation(number)
            if generation.state in {State.CANCELLED, State.IGNORED}:
                return False
            if record.latest is not generation:
                generation.state = State.SUPERSEDED
                return False
            generation.state, generation.begun = State.COMPUTING, now_s()
            generation.now = generation.now or datetime.now().astimezone().isoformat()
        return True

    @DBOS.step(name="compute")
    def compute(self, key: str, number: int) -> list[str]:
        """Compute, keep the outcome, return the destinations of the results."""
        start = time.monotonic()
        try:
            outcome = _run(self._tools, key, number)
        except PoolStoppedError:
            raise
        except (WorkerError, ComputeError, OSError) as error:
            return _keep_failure(self._tools, key, number, _explain(error))
        except Exception as error:  # a defect must not leave the series COMPUTING for ever
            LOG.exception("work_defect")
            reason = f"{type(error).__name__} in the node"
            return _keep_failure(self._tools, key, number, ("internal", reason))
        return _keep_outcome(self._tools, key, number, outcome, time.monotonic() - start)

    @DBOS.workflow(name="deliver", max_recovery_attempts=None)
    def deliver(self, key: str, number: int, destination: str, attempt: int) -> None:
        """Offer the results once; on failure enqueue the next attempt."""
        delay = self.offer(key, number, destination)
        if delay is not None:
            enqueue_delivery(self, key, number, destination, attempt + 1, delay)
        elif (asked := self.ask(key, number, destination)) is not None:
            self.enqueue_look(key, number, destination, asked)

    @DBOS.workflow(name="look", max_recovery_attempts=None)
    def look(self, key: str, number: int, destination: str) -> None:
        """Look what became of a request for storage commitment; else ask again."""
        attempt = self.to_send_again(key, number, destination)
        if attempt is not None:
            enqueue_delivery(self, key, number, destination, attempt)
        elif (asked := self.ask(key, number, destination)) is not None:
            self.enqueue_look(key, number, destination, asked)

    def enqueue_look(self, key: str, number: int, destination: str, asked: int) -> None:
        """Look again when the time for the answer is over."""
        delay = self._tools.config.delivery.commit_timeout_s
        with (
            SetWorkflowID(f"{key}-{number}-{destination}-look-{asked}"),
            SetEnqueueOptions(delay_seconds=delay),
        ):
            DBOS.enqueue_workflow(_DELIVERY_QUEUE, self.look, key, number, destination)

    @DBOS.step(name="ask")
    def ask(self, key: str, number: int, destination: str) -> int | None:
        """Ask for storage commitment; return how often it was asked by now."""
        return self._tools.commitment.ask(key, number, destination)

    @DBOS.step(name="to_send_again")
    def to_send_again(self, key: str, number: int, destination: str) -> int | None:
        """Return the number of the next attempt to deliver what was not kept."""
        return self._tools.commitment.to_send_again(key, number, destination)

    @DBOS.step(name="offer")
    def offer(self, key: str, number: int, destination: str) -> float | None:
        """Offer the results once; return the delay until the next attempt."""
        return self._tools.deliverer.attempt(key, number, destination)


class Engine:
    """Starts and stops the workflows.

    Parameters
    ----------
    tools : Tools
    data_folder : Path
        Holds the engine's SQLite database.
    at_once : int
        So many series are computed at a time.
    """

    def __init__(self, tools: Tools, data_folder: Path, at_once: int) -> None:
        self._tools = tools
        self._at_once = at_once
        database = data_folder / "work.sqlite"
        _use_write_ahead_log(database)
        url = sqlalchemy.URL.create("sqlite", database=str(database))
        settings: DBOSConfig = {
            "name": "aspects-node",
            "system_database_url": url.render_as_string(),
            "application_version": _VERSION,
            "executor_id": "node",
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=settings)
        self._workflows = Workflows(tools)

    def start(self) -> None:
        """Take up unfinished workflows and accept new ones."""
        DBOS.launch()
        DBOS.register_queue(
            _COMPUTE_QUEUE,
            worker_concurrency=self._at_once,
            polling_interval_sec=_POLL_S,
            on_conflict="always_update",
        )
        DBOS.register_queue(
            _DELIVERY_QUEUE,
            worker_concurrency=_DELIVERIES_AT_ONCE,
            polling_interval_sec=_POLL_S,
            on_conflict="always_update",
        )
        adopt_older(_VERSION, _queue_of)
        for lost in find_lost(self._tools.ledger):
            self._do_after_all(lost)

    def _do_after_all(self, lost: Lost) -> None:
        LOG.warning("work_restored", extra={"file": lost.key, "destination": lost.destination})
        work = self._workflows.enqueue_look if lost.is_look else self.deliver
        work(lost.key, lost.number, lost.destination, lost.attempt)

    def stop(self) -> None:
        """Stop; what was not finished goes on at the next start."""
        DBOS.destroy()

    def submit(self, key: str, number: int) -> None:
        """Enqueue the work on a generation; a second time it does nothing."""
        with (
            SetWorkflowID(f"{key}-{number}"),
            SetEnqueueOptions(priority=self._priority(key, number)),
        ):
            DBOS.enqueue_workflow(_COMPUTE_QUEUE, self._workflows.process, key, number)

    def _priority(self, key: str, number: int) -> int:
        """Return the place in the queue: a time, the earlier the sooner.

        An urgent series is treated as if it had come earlier by its head start,
        so that the others wait no longer than that.
        """
        record = self._tools.ledger.get(key)
        return _LAST if record is None else _turn(self._tools.config, record.generation(number))

    def forget(self, key: str) -> None:
        """Delete the finished workflows of a series, so that it can come anew."""
        found = DBOS.list_workflows(
            workflow_id_prefix=f"{key}-",
            status=["SUCCESS", "ERROR", "CANCELLED"],
            load_input=False,
            load_output=False,
        )
        if found:
            DBOS.delete_workflows([item.workflow_id for item in found])

    def deliver(self, key: str, number: int, destination: str, attempt: int) -> None:
        """Enqueue an attempt to deliver, now."""
        enqueue_delivery(self._workflows, key, number, destination, attempt)

    def hurry(self, key: str, number: int, destination: str, attempt: int) -> None:
        """Make an attempt that waits for its time begin now."""
        DBOS.set_workflow_delay(_delivery_id(key, number, destination, attempt), delay_seconds=0)

    def drop(self, key: str, number: int, destination: str, attempt: int) -> None:
        """Take an attempt that waits for its time out of the queue."""
        DBOS.cancel_workflow(_delivery_id(key, number, destination, attempt))


def enqueue_delivery(
    workflows: Workflows,
    key: str,
    number: int,
    destination: str,
    attempt: int,
    delay: float | None = None,
) -> None:
    """Enqueue one attempt to deliver, after a delay in seconds."""
    with (
        SetWorkflowID(_delivery_id(key, number, destination, attempt)),
        SetEnqueueOptions(delay_seconds=delay),
    ):
        DBOS.enqueue_workflow(_DELIVERY_QUEUE, workflows.deliver, key, number, destination, attempt)


def _queue_of(workflow: str) -> str:
    return _COMPUTE_QUEUE if workflow == "process" else _DELIVERY_QUEUE


def _use_write_ahead_log(database: Path) -> None:
    """Halve the fsyncs of a commit; the setting stays in the file."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _delivery_id(key: str, number: int, destination: str, attempt: int) -> str:
    return f"{key}-{number}-{destination}-{attempt}"


def _run(tools: Tools, key: str, number: int, failed: tuple[str, str] | None = None) -> Outcome:
    """Run the computation, on a fresh process after a crash; put the results in place.

    After a failure: make a note of it instead.
    """
    record = tools.ledger.get(key)
    if record is None:
        raise ComputeError(f"there is no record of the series {key}")
    generation = record.generation(number)
    folder = tools.ledger.results(key, number)
    part = folder.with_suffix(".part")
    images = tools.ledger.images(key)
    job = Job(
        paths=tuple(images / name for name in generation.images),
        out=part,
        atlas_folder=tools.atlas_folder,
        now=datetime.fromisoformat(generation.now),
        levels=generation.levels,
        uid_root=tools.config.uid_root,
        previous=_previous_report(tools.ledger, record, number),
        objects=_objects(tools.config, record.calling_ae),
        choices=tools.config.choices,
        failed=failed,
        turn=_turn(tools.config, generation),
    )
    outcome = _run_attempts(tools, job, record.series_uid)
    _put_in_place(part, folder)
    return outcome


def _turn(config: NodeConfig, generation: Generation) -> int:
    head_start = config.urgent_head_start_s if generation.urgent else 0.0
    return max(1, int(generation.complete - _LONG_AGO - head_start))


def _objects(config: NodeConfig, calling_ae: str) -> tuple[str, ...]:
    """Return what the destinations of a series want, together."""
    wanted = [config.peer(name).objects for name in destinations(config, calling_ae)]
    return to_make(wanted or [DEFAULT_OBJECTS])


def _previous_report(ledger: Ledger, record: SeriesRecord, number: int) -> Path | None:
    """Return the last report of the series that a destination accepted, or None."""
    earlier = [item for item in record.generations if item.number < number]
    for generation, name in product(reversed(earlier), REPORTS):
        path = ledger.results(record.key, generation.number) / name
        accepted = (item.statuses.get(name) for item in generation.deliveries.values())
        is_sent = any(status is not None and is_stored(status) for status in accepted)
        if is_sent and path.exists():
            return path
    replaced = ledger.get(record.generation(number).replaces)
    return None if replaced is None else _previous_report(ledger, replaced, sys.maxsize)


def _run_attempts(tools: Tools, job: Job, series_uid: str) -> Outcome:
    for attempt in range(1, tools.config.compute_attempts + 1):
        shutil.rmtree(job.out, ignore_errors=True)
        job.out.mkdir()
        try:
            return tools.pool.run(job)
        except PoolStoppedError:
            raise
        except WorkerError as error:
            LOG.warning(
                "worker_lost",
                extra={
                    "series": series_uid,
                    "attempt": attempt,
                    "code": error.code,
                    "reason": str(error),
                },
            )
            last = error
    raise last


def _put_in_place(part: Path, folder: Path) -> None:
    for path in part.iterdir():
        sync_file(path)
    sync_folder(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    sync_folder(folder.parent)


def _keep_failure(tools: Tools, key: str, number: int, why: tuple[str, str]) -> list[str]:
    """Keep why it failed; return the destinations of a note of that."""
    code, reason = why
    made = _note(tools, key, number, why)
    with tools.ledger.change(key) as record:
        generation = record.generation(number)
        generation.state, generation.code, generation.reason = State.FAILED, code, reason
        generation.objects = made
        names = _route_note(tools.config, record.calling_ae, generation)
    LOG.error(
        "failed",
        extra={"series": record.series_uid, "generation": number, "code": code, "reason": reason},
    )
    return names


def _note(tools: Tools, key: str, number: int, why: tuple[str, str]) -> list[str]:
    """Make a note of a failure, where a destination wants one."""
    record = tools.ledger.get(key)
    if record is None or NOTE not in _objects(tools.config, record.calling_ae):
        return []
    try:
        return list(_run(tools, key, number, failed=why).objects)
    except PoolStoppedError:
        raise
    except Exception:  # the failure is told of without it, too
        LOG.exception("note_defect", extra={"series": record.series_uid, "generation": number})
        return []


def _route_note(config: NodeConfig, calling_ae: str, generation: Generation) -> list[str]:
    """Set the deliveries of a note; return the destinations."""
    names = [
        name
        for name in destinations(config, calling_ae)
        if is_note(generation.objects) and NOTE in config.peer(name).objects
    ]
    generation.deliveries = {name: DeliveryRecord(since=now_s()) for name in names}
    return names


def _explain(error: WorkerError | ComputeError | OSError) -> tuple[str, str]:
    """Return the code and the reason of a failure."""
    if isinstance(error, OSError):
        return "storage", f"the results cannot be written ({error.strerror})"
    return (error.cause_code if isinstance(error, ComputeError) else error.code), str(error)


def _keep_outcome(
    tools: Tools, key: str, number: int, outcome: Outcome, seconds: float
) -> list[str]:
    with tools.ledger.change(key) as record:
        generation = record.generation(number)
        generation.code, generation.reason = outcome.code, outcome.reason
        generation.quality = outcome.quality
        generation.objects = list(outcome.objects)
        generation.timings_s = dict(outcome.timings_s or {})
        if outcome.score is not None:
            generation.score = outcome.score
            generation.suitability = describe(outcome.score, outcome.doubts)
        # cancelled while it was computed: kept, but not sent
        is_wanted = generation.state is not State.CANCELLED
        names = _route(tools.config, record.calling_ae, generation, outcome) if is_wanted else []
    LOG.info("computed", extra=_summary(record.series_uid, generation, outcome, seconds))
    return names


def _route(
    config: NodeConfig, calling_ae: str, generation: Generation, outcome: Outcome
) -> list[str]:
    """Set the state and the deliveries; return the destinations."""
    if outcome.ending is Ending.REJECTED:
        generation.state = State.REJECTED
        return _route_note(config, calling_ae, generation)
    names = list(destinations(config, calling_ae))
    if not names:
        generation.state, generation.code = State.FAILED, "no-destination"
        generation.reason = (
            f"no [[peers]] with ae_title {calling_ae!r} takes results and no default_peer is set"
        )
        return []
    generation.state = State.DELIVERING
    generation.deliveries = {name: DeliveryRecord(since=now_s()) for name in names}
    return names


def _summary(
    series_uid: str, generation: Generation, outcome: Outcome, seconds: float
) -> dict[str, Any]:
    return {
        "series": series_uid,
        "generation": generation.number,
        "images": len(generation.images),
        "ending": outcome.ending,
        "state": generation.state,
        "code": generation.code,
        "reason": generation.reason,
        "quality": generation.quality,
        "timings_s": generation.timings_s,
        "seconds": round(seconds, 3),
        "seconds_since_last_image": round(now_s() - generation.last_received, 3),
    }
