"""What goes through the work database: JSON, and nothing that names a patient."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from atlases.entry import entry_of
from node.job import Job, Outcome
from node.state import short_hash

SCHEMA: Final = 1
"""Raised when an older worker would compute something else than is asked for."""

QUEUE: Final = "aspects-node-compute"
WORKFLOW: Final = "compute_job"
CLASS: Final = "Jobs"
INSTANCE: Final = "jobs"
APPLICATION: Final = "aspects-node-work"


class Verdict(StrEnum):
    """What became of a task."""

    DONE = "done"
    FAILED = "failed"
    """The computation raised an error; trying again will not mend it."""
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    REFUSED = "refused"
    """This worker cannot do it; another one may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One series to compute, wherever there is room.

    Attributes
    ----------
    atlas : str
        Identity of the atlas set to use, see `atlas_identity`.
    job : Job
        Its folders as the node that receives names them.
    schema : int
    """

    atlas: str
    job: Job
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a worker says of a task.

    Attributes
    ----------
    verdict : Verdict
    folder : str
        Name of the folder of results, beside ``job.out``.
    outcome : Outcome or None
    code, text : str
        Of a failure.
    """

    verdict: Verdict
    folder: str = ""
    outcome: Outcome | None = None
    code: str = ""
    text: str = ""


class UnreadableTaskError(Exception):
    """The task is of a newer version, or none at all."""


_TASK: Final = TypeAdapter(Task)
_ANSWER: Final = TypeAdapter(Answer)


def write_task(task: Task) -> str:
    """Return the JSON of a task."""
    return _TASK.dump_json(task).decode()


def read_task(text: str) -> Task:
    """Return the task that a JSON text holds.

    Raises
    ------
    UnreadableTaskError
        It is of a newer schema, or no task.
    """
    try:
        schema = json.loads(text).get("schema", 0)
        if schema > SCHEMA:
            raise UnreadableTaskError(
                f"the task is of version {schema}, this worker knows {SCHEMA}"
            )
        return _TASK.validate_json(text)
    except (ValueError, AttributeError, TypeError, ValidationError) as error:
        raise UnreadableTaskError("it is no task") from error


def write_answer(answer: Answer) -> str:
    """Return the JSON of an answer."""
    return _ANSWER.dump_json(answer).decode()


def read_answer(text: str) -> Answer:
    """Return the answer that a JSON text holds.

    Raises
    ------
    pydantic.ValidationError
        It is none.
    """
    return _ANSWER.validate_json(text)


def task_id(node: str, task: Task) -> str:
    """Return the workflow id of a task: the same task has the same.

    The place in the queue is no part of it, and the series is named by its key.
    """
    out = task.job.out
    content = write_task(replace(task, job=replace(task.job, turn=1)))
    return f"{node}-{out.parent.parent.name}-{out.stem}-{short_hash(content.encode())}"


def atlas_identity(folder: Path) -> str:
    """Return what tells one atlas set from another, wherever it is installed."""
    entry = entry_of(folder)
    files = json.dumps(dict(entry.files), sort_keys=True)
    return f"{entry.name} {entry.version} {short_hash(files.encode())}"
