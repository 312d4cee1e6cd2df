"""How the work database stands, for people to read."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, column, func, select, table

from node.work import wire
from node.work.database import database_url, executors, make_engine, newest, revision
from node.work.settings import Work

_WORKFLOWS = table("workflow_status", column("status"), column("queue_name"), schema="dbos")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the work database stands.

    Attributes
    ----------
    milliseconds : float
        Until it had answered.
    revision, newest : str or None
        Of our tables as they are, None where there are none yet; and as this
        version wants them.
    workers, slots : int
        Processes that work, and the series that they compute at a time.
    waiting, running : int
        Series in the queue, and being computed.
    """

    milliseconds: float
    revision: str | None
    newest: str
    workers: int = 0
    slots: int = 0
    waiting: int = 0
    running: int = 0


def standing(work: Work) -> Standing:
    """Ask the work database how it stands; changes nothing.

    Raises
    ------
    ConfigError
        The password cannot be read.
    sqlalchemy.exc.SQLAlchemyError
        The database cannot be reached.
    """
    engine = make_engine(database_url(work))
    start = time.monotonic()
    try:
        with engine.connect() as connection:
            found = revision(connection)
            numbers = _numbers(connection) if found else {}
            milliseconds = 1000 * (time.monotonic() - start)
    finally:
        engine.dispose()
    return Standing(milliseconds=milliseconds, revision=found, newest=newest(), **numbers)


def _numbers(connection: Connection) -> dict[str, int]:
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(executors.c.slots), 0)).select_from(executors)
    ).one()
    counted = connection.execute(
        select(_WORKFLOWS.c.status, func.count())
        .where(_WORKFLOWS.c.queue_name == wire.QUEUE)
        .where(_WORKFLOWS.c.status.in_(["ENQUEUED", "PENDING"]))
        .group_by(_WORKFLOWS.c.status)
    )
    by_status: dict[str, int] = {status: count for status, count in counted}
    return {
        "workers": int(row[0]),
        "slots": int(row[1]),
        "waiting": int(by_status.get("ENQUEUED", 0)),
        "running": int(by_status.get("PENDING", 0)),
    }
