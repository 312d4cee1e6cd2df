"""The work database: its address, and how its tables come to be.

DBOS makes and migrates its own, in the schema ``dbos``; ours, in the schema
``aspects_node``, are made by alembic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import alembic.command
import sqlalchemy
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from dbos import DBOS
from sqlalchemy import Column, DateTime, Engine, Integer, MetaData, Table, Text, func

from node.errors import ConfigError
from node.secret import read_secret
from node.work.settings import Work

SCHEMA: Final = "aspects_node"

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LIVELY: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""A server that is gone without a word is noticed within seconds, not hours."""
_FROZEN_S: Final = 60.0
_MIGRATING: Final = 4_711_001
"""Advisory lock: one process migrates at a time."""

metadata: Final = MetaData(schema=SCHEMA)

executors: Final = Table(
    "executors",
    metadata,
    Column("executor", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("seen", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""Processes that work; a row that is not renewed is of a process that is lost."""

handovers: Final = Table(
    "handovers",
    metadata,
    Column("workflow", Text, primary_key=True),
    Column("times", Integer, nullable=False),
    Column("last", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""How often the work on a series was taken from a process that was lost."""


def database_url(work: Work) -> str:
    """Return the address with the password.

    Raises
    ------
    ConfigError
        None is configured, or the password cannot be read.
    """
    if work.database is None:
        raise ConfigError("work.database: this role needs a PostgreSQL database, none is set")
    url = sqlalchemy.make_url(work.database).set(drivername="postgresql+psycopg")
    url = url.update_query_dict({**_LIVELY, **url.query})
    password = read_secret(work.password_file, work.password_env)
    if password is not None:
        url = url.set(password=password)
    return url.render_as_string(hide_password=False)


def make_engine(url: str, frozen_s: float = _FROZEN_S) -> Engine:
    """Return an engine of few connections, each tried before it is used.

    The database ends a transaction in which nothing happens for `frozen_s`: a
    process that was stopped in the middle of it must not hold its locks.
    """
    idle = f"-c idle_in_transaction_session_timeout={round(1000 * frozen_s)}"
    return sqlalchemy.create_engine(
        url,
        pool_size=2,
        max_overflow=2,
        pool_pre_ping=True,
        connect_args={
            "application_name": "aspects-node",
            "options": idle,
        },
    )


def migrate(url: str) -> None:
    """Bring all tables to the state that this version works with.

    Raises
    ------
    ConfigError
        The tables were made by a newer version.
    sqlalchemy.exc.SQLAlchemyError
        The database cannot be reached, or the user may not make tables.
    """
    DBOS.migrate(url)
    engine = make_engine(url)
    try:
        with engine.connect() as connection, _alone(connection):
            _require_known(connection)
            alembic.command.upgrade(_config(connection), "head")
            connection.commit()
    finally:
        engine.dispose()


def revision(connection: sqlalchemy.Connection) -> str | None:
    """Return the revision of our tables; None where there are none."""
    options = {"version_table_schema": SCHEMA}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def newest() -> str:
    """Return the revision that this version works with."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head() or ""


def _require_known(connection: sqlalchemy.Connection) -> None:
    found = revision(connection)
    known = {item.revision for item in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigError(
            f"work.database: its tables are of a newer version ({found}): "
            "upgrade this installation too"
        )


def _config(connection: sqlalchemy.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _alone(connection: sqlalchemy.Connection) -> Iterator[None]:
    connection.execute(sqlalchemy.select(func.pg_advisory_lock(_MIGRATING)))
    connection.execute(sqlalchemy.schema.CreateSchema(SCHEMA, if_not_exists=True))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(sqlalchemy.select(func.pg_advisory_unlock(_MIGRATING)))
        connection.commit()
