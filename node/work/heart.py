"""Who works, who is lost, and who takes over: heartbeats in the work database.

All times are the database's: the machines' clocks need not agree.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, Final

import sqlalchemy
from dbos import DBOSClient
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from node.work import wire
from node.work.database import executors, handovers, make_engine
from node.work.settings import Work

LOG = logging.getLogger(__name__)

_LOOKING: Final = 4_711_002
"""Advisory lock: one process looks for lost ones at a time."""
_TIDY_S: Final = 3600.0
_KEPT: Final = timedelta(days=7)
_BATCH: Final = 1000
_ENDS: Final = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process that works.

    Attributes
    ----------
    executor : str
        Unlike that of any other process, also on the same machine.
    slots : int
        Series that it computes at a time.
    """

    executor: str
    slots: int


class Heart:
    """Says that a process lives, and looks for those that do not.

    Parameters
    ----------
    identity : Identity
    work : Work
    url : str
    client : DBOSClient
    """

    def __init__(self, identity: Identity, work: Work, url: str, client: DBOSClient) -> None:
        self._identity = identity
        self._work = work
        self._client = client
        self._engine = make_engine(url, work.lost_after_s)
        self._beats = 0
        self._losses = 0
        self._next_tidy = time.monotonic()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Beat from now on.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            The database cannot be reached.
        """
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """End, and hand over at once what is unfinished."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)
        try:
            with self._engine.begin() as connection:
                connection.execute(_of(self._identity.executor))
            for item in self._running([self._identity.executor]):
                self._client.resume_workflow(item.workflow_id, queue_name=wire.QUEUE)
        except SQLAlchemyError:
            LOG.warning("not_handed_over")  # the others find out by the silence
        self._engine.dispose()

    @property
    def losses(self) -> int:
        """How often this process was taken for lost."""
        return self._losses

    def beat(self) -> None:
        """Renew the row of this process, or put it there.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            The database cannot be reached.
        """
        row = {
            "executor": self._identity.executor,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slots": self._identity.slots,
            "version": version("aspects-node"),
        }
        renewed = (
            sqlalchemy.update(executors)
            .where(executors.c.executor == self._identity.executor)
            .values(seen=func.now())
        )
        with self._lock, self._engine.begin() as connection:
            if connection.execute(renewed).rowcount == 0:
                connection.execute(insert(executors).values(row).on_conflict_do_nothing())
                if self._beats:
                    self._losses += 1
                    LOG.warning("was_taken_for_lost", extra={"executor": self._identity.executor})
            self._beats += 1

    def _run(self) -> None:
        is_down = False
        while not self._stopping.wait(self._work.heartbeat_s):
            try:
                self.beat()
                self.look()
                is_down = False
            except SQLAlchemyError as error:
                if not is_down:
                    LOG.error(  # noqa: TRY400 - the cause says it all
                        "work_database_lost", extra={"error": type(error).__name__}
                    )
                is_down = True
            except Exception:  # a heart that stops would lose all its work
                LOG.exception("heart_failed")

    def look(self) -> None:
        """Hand over the work of processes that fell silent.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            The database cannot be reached.
        """
        with self._engine.begin() as connection:
            if not connection.execute(select(func.pg_try_advisory_xact_lock(_LOOKING))).scalar():
                return
            silence = timedelta(seconds=self._work.lost_after_s)
            lost = sqlalchemy.delete(executors).where(executors.c.seen < func.now() - silence)
            for row in connection.execute(lost.returning(executors.c.executor, executors.c.host)):
                LOG.warning("worker_process_lost", extra={"executor": row[0], "host": row[1]})
            alive = set(connection.execute(select(executors.c.executor)).scalars())
            now = connection.execute(select(func.now())).scalar_one()
            for item in self._running():
                began = (item.dequeued_at or 0) / 1000
                if item.executor_id not in alive and began < (now - silence).timestamp():
                    self._hand_over(connection, item)
            self._tidy(connection)

    def _running(self, executor_id: list[str] | None = None) -> list[Any]:
        return self._client.list_workflows(
            queue_name=wire.QUEUE,
            status="PENDING",
            executor_id=executor_id,
            load_input=False,
            load_output=False,
        )

    def _hand_over(self, connection: Connection, item: Any) -> None:
        """Put a task into the queue again; one that ends whoever computes it is held."""
        row = insert(handovers).values(workflow=item.workflow_id, times=1)
        times = connection.execute(
            row.on_conflict_do_update(
                index_elements=["workflow"],
                set_={"times": handovers.c.times + 1, "last": func.now()},
            ).returning(handovers.c.times)
        ).scalar_one()
        extra = {"task": item.workflow_id, "executor": item.executor_id, "times": times}
        if times > self._work.handovers:
            self._client.cancel_workflow(item.workflow_id)
            LOG.error("given_up", extra=extra)
        else:
            self._client.resume_workflow(item.workflow_id, queue_name=wire.QUEUE)
            LOG.warning("handed_over", extra=extra)

    def _tidy(self, connection: Connection) -> None:
        """Delete what nobody came for: its node is gone, or asked anew."""
        if time.monotonic() < self._next_tidy:
            return
        self._next_tidy = time.monotonic() + _TIDY_S
        connection.execute(
            sqlalchemy.delete(handovers).where(handovers.c.last < func.now() - _KEPT)
        )
        old = self._client.list_workflows(
            name=wire.WORKFLOW,
            status=_ENDS,
            end_time=(datetime.now(UTC) - _KEPT).isoformat(),
            limit=_BATCH,
            load_input=False,
            load_output=False,
        )
        if old:
            self._client.delete_workflows([item.workflow_id for item in old])


def _of(executor: str) -> sqlalchemy.Delete:
    return sqlalchemy.delete(executors).where(executors.c.executor == executor)
