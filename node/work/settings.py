"""The table ``[work]`` of the configuration: computing on other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from node.peer import Seconds, Section


class Work(Section):
    """The database by which nodes that receive and processes that work find each other.

    Attributes
    ----------
    database : str or None
        ``postgresql+psycopg://USER@HOST/DATABASE``, without the password.
    password_file, password_env
        File that holds the password, or the name of an environment variable that does.
    ahead : int
        So many series of a node that receives wait for workers at a time; the
        rest wait in the node itself.
    most_at_once : int or None
        So many series are computed at a time, by all workers together.
    poll_s : float
        How often a worker looks for work, and a node for results.
    heartbeat_s : float
        How often a worker says that it lives ...
    lost_after_s : float
        ... and after which silence others take its work over.
    handovers : int
        So often one series is taken over before it is held for what ends the workers.
    """

    database: str | None = None
    password_file: Path | None = None
    password_env: str | None = None
    ahead: Annotated[int, Field(ge=1, le=1000)] = 32
    most_at_once: Annotated[int, Field(ge=1)] | None = None
    poll_s: Seconds = 0.2
    heartbeat_s: Seconds = 2.0
    lost_after_s: Seconds = 15.0
    handovers: Annotated[int, Field(ge=1, le=100)] = 3

    @field_validator("database")
    @classmethod
    def _is_postgresql(cls, database: str | None) -> str | None:
        if database is None:
            return None
        url = urlsplit(database)
        if url.scheme.partition("+")[0] != "postgresql" or not url.path.strip("/"):
            raise ValueError("it has to be postgresql+psycopg://USER@HOST/DATABASE")
        if url.password is not None:
            raise ValueError("no password here: use password_file or password_env")
        return database

    @model_validator(mode="after")
    def _is_patient(self) -> Self:
        if self.lost_after_s < 3 * self.heartbeat_s:
            raise ValueError("lost_after_s has to be three times heartbeat_s at least")
        return self
