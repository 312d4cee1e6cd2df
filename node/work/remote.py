"""Stands in for the worker processes of a node that receives: others compute.

A task is a workflow in the work database, its id made of what is to be
computed. So asking twice does no harm, a node that was restarted finds its
tasks again, and a database that lost them is asked anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from node.errors import (
    ComputeError,
    ConfigError,
    PoolStoppedError,
    WorkerCrashedError,
    WorkerTimeoutError,
)
from node.files import write_durably
from node.job import Job, Outcome
from node.work import wire
from node.work.database import migrate
from node.work.wire import Answer, Task, Verdict

LOG = logging.getLogger(__name__)

_ENDS: Final = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_AGAIN_S: Final = 1.0
_LONGEST_S: Final = 30.0
_VISIBLE_S: Final = 5.0
"""A network file system may show a new folder to another machine late."""


def make_client(url: str, frozen_s: float | None = None) -> DBOSClient:
    """Return a client of the work database; it connects when it is used.

    `frozen_s`: see `node.work.database.make_engine`.
    """
    return DBOSClient(
        system_database_url=url,
        serializer=DBOSPortableJSONSerializer(),
        application_name=wire.APPLICATION,
        lazy=True,
        retry_connection_errors=False,
        sys_db_idle_transaction_timeout_sec=frozen_s,
    )


def node_name(data_folder: Path) -> str:
    """Return the name of the node that works in a data folder, made once at random."""
    path = data_folder / "node.id"
    if not path.exists():
        write_durably(path, secrets.token_hex(6).encode())
    return path.read_text(encoding="ascii")


@dataclass(slots=True)
class _Wait:
    """Somebody waits for an answer."""

    done: threading.Event = field(default_factory=threading.Event)
    status: Any = None
    """Of the workflow at its end; None where the database lost it."""


class RemotePool:
    """Has jobs computed by whoever takes them from the work database.

    Parameters
    ----------
    url : str
        Of the database, with the password.
    node : str
        Name of this node, unlike that of any other.
    atlas_folder : Path
    poll_s : float
    """

    def __init__(self, url: str, *, node: str, atlas_folder: Path, poll_s: float) -> None:
        self._url = url
        self._node = node
        self._atlas = wire.atlas_identity(atlas_folder)
        self._poll_s = poll_s
        self._client = make_client(url)
        self._waits: dict[str, _Wait] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._is_down = False
        self._thread = threading.Thread(target=self._collect, name="results", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers: none here."""
        return ()

    def warm_up(self) -> None:
        """Make the tables where they are absent; a database that is down is tried again later."""
        self._try(lambda: migrate(self._url))

    def run(self, job: Job) -> Outcome:
        """Have one series computed.

        Raises
        ------
        WorkerCrashedError, WorkerTimeoutError
            Trying again may help.
        PoolStoppedError
            The node is stopping; the work goes on elsewhere.
        ComputeError
            The computation raised something that trying again will not mend.
        """
        task = Task(atlas=self._atlas, job=job)
        name = wire.task_id(self._node, task)
        pause = _AGAIN_S
        while True:
            answer = self._ask(name, task)
            if answer.verdict is Verdict.DONE and answer.outcome is not None:
                if self._take(job.out, answer.folder):
                    self._forget(name)
                    return answer.outcome
                answer = Answer(verdict=Verdict.REFUSED, text=f"{answer.folder} is not there")
            self._forget(name)
            _raise_failure(answer)
            LOG.warning("work_refused", extra={"task": name, "reason": answer.text})
            self._wait(pause)
            pause = min(2 * pause, _LONGEST_S)

    def stop(self) -> None:
        """Let all who wait end with PoolStoppedError."""
        self._stopping.set()
        with self._lock:
            waits = list(self._waits.values())
        for wait in waits:
            wait.done.set()
        self._thread.join(10.0)
        self._client.destroy()

    def _ask(self, name: str, task: Task) -> Answer:
        """Enqueue a task and wait for what becomes of it."""
        options: EnqueueOptions = {
            "workflow_name": wire.WORKFLOW,
            "class_name": wire.CLASS,
            "instance_name": wire.INSTANCE,
            "queue_name": wire.QUEUE,
            "workflow_id": name,
            "priority": task.job.turn,
        }
        while True:
            self._insist(lambda: self._client.enqueue(options, wire.write_task(task)))
            status = self._await(name)
            if status is not None:
                return _answer(status)

    def _await(self, name: str) -> Any:
        with self._lock:
            wait = self._waits.setdefault(name, _Wait())
        try:
            wait.done.wait()
        finally:
            with self._lock:
                self._waits.pop(name, None)
        self._require_running()
        return wait.status

    def _collect(self) -> None:
        """Look for what came to an end, for all who wait."""
        while not self._stopping.wait(self._poll_s):
            with self._lock:
                waits = dict(self._waits)
            if waits:
                self._try(lambda waits=waits: self._look(waits))  # type: ignore[misc]  # mypy knows no defaults of lambdas

    def _look(self, waits: dict[str, _Wait]) -> None:
        found = self._client.list_workflows(
            workflow_ids=list(waits), load_input=False, load_output=False
        )
        known = {item.workflow_id: item.status for item in found}
        ended = [name for name, status in known.items() if status in _ENDS]
        answers = self._client.list_workflows(workflow_ids=ended) if ended else []
        for status in answers:
            waits[status.workflow_id].status = status
        for name in (*(item.workflow_id for item in answers), *(set(waits) - set(known))):
            waits[name].done.set()

    def _take(self, out: Path, name: str) -> bool:
        """Put the results where the job wants them; what others left goes away."""
        if not name.startswith(f"{out.name}.") or os.sep in name:
            return False
        waited = 0.0
        while name not in os.listdir(out.parent):  # noqa: PTH208 - it has to ask the server
            if waited >= _VISIBLE_S:
                return False
            self._wait(_VISIBLE_S / 10)
            waited += _VISIBLE_S / 10
        shutil.rmtree(out, ignore_errors=True)
        (out.parent / name).rename(out)
        for other in out.parent.glob(f"{out.name}.*"):
            shutil.rmtree(other, ignore_errors=True)
        return True

    def _forget(self, name: str) -> None:
        """Delete a task that is over; workers delete later what is left here."""
        with contextlib.suppress(SQLAlchemyError):
            self._client.delete_workflows([name])

    def _insist(self, act: Callable[[], object]) -> None:
        pause = _AGAIN_S
        while not self._try(act):
            self._wait(pause)
            pause = min(2 * pause, _LONGEST_S)

    def _try(self, act: Callable[[], object]) -> bool:
        """Do something with the database; say once when it is away, and when it is back."""
        try:
            act()
        except SQLAlchemyError as error:
            if not self._is_down and not self._stopping.is_set():
                LOG.error(  # noqa: TRY400 - the cause says it all
                    "work_database_lost", extra={"reason": _first_line(error)}
                )
            self._is_down = True
            if isinstance(error, ProgrammingError):
                self._make_tables()
            return False
        if self._is_down:
            LOG.info("work_database_back")
        self._is_down = False
        return True

    def _make_tables(self) -> None:
        """Make them where the database is new, or was made anew."""
        with contextlib.suppress(SQLAlchemyError, ConfigError):
            migrate(self._url)

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)
        self._require_running()

    def _require_running(self) -> None:
        if self._stopping.is_set():
            raise PoolStoppedError("the node is stopping")


def _answer(status: Any) -> Answer:
    """Return what a workflow that ended says."""
    if status.status == "SUCCESS":
        return wire.read_answer(status.output)
    if status.status == "ERROR":
        return Answer(verdict=Verdict.FAILED, code="internal", text="a defect in the worker")
    return Answer(verdict=Verdict.CRASHED, text="each worker that computed it was lost")


def _raise_failure(answer: Answer) -> None:
    if answer.verdict is Verdict.FAILED:
        raise ComputeError(answer.text, answer.code)
    if answer.verdict is Verdict.CRASHED:
        raise WorkerCrashedError(answer.text)
    if answer.verdict is Verdict.TIMED_OUT:
        raise WorkerTimeoutError(answer.text)


def _first_line(error: SQLAlchemyError) -> str:
    """Return what went wrong without the statement, which holds values."""
    cause: Iterable[str] = str(getattr(error, "orig", None) or error).splitlines()
    return next(iter(cause), type(error).__name__)
