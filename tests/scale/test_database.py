"""The work database: its tables, who is lost, and what goes through it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy
from dbos import DBOSClient, EnqueueOptions
from sqlalchemy import Engine, text

from node.check import Finding, check_node
from node.config import NodeConfig
from node.errors import ConfigError
from node.job import Ending, Job, Outcome
from node.work import wire
from node.work.database import SCHEMA, database_url, make_engine, metadata, migrate, newest
from node.work.heart import Heart, Identity
from node.work.remote import make_client
from node.work.settings import Work
from node.work.wire import Answer, Task, UnreadableTaskError, Verdict

QUICK = Work(database="postgresql://u@h/d", heartbeat_s=0.1, lost_after_s=5.0, handovers=1)
OPTIONS: EnqueueOptions = {
    "workflow_name": wire.WORKFLOW,
    "class_name": wire.CLASS,
    "instance_name": wire.INSTANCE,
    "queue_name": wire.QUEUE,
}


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """Of a database with all tables."""
    migrate(database)
    found = make_engine(database)
    yield found
    found.dispose()


@pytest.fixture
def client(database: str, engine: Engine) -> Iterator[DBOSClient]:
    """Of the same database."""
    found = make_client(database)
    yield found
    found.destroy()


def test_tables_are_as_the_code_says_and_made_once(database: str, engine: Engine) -> None:
    migrate(database)
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT version_num FROM {SCHEMA}.alembic_version"))
        assert rows.scalars().all() == [newest()]
    inspector = sqlalchemy.inspect(engine)
    for table in metadata.sorted_tables:
        found = {column["name"]: column["nullable"] for column in
                 inspector.get_columns(table.name, schema=SCHEMA)}  # fmt: skip
        assert found == {column.name: column.nullable for column in table.columns}


def test_tables_of_a_newer_version_are_left_alone(database: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer version"):
        migrate(database)
    assert _checked(database).grade == "broken"


def test_check_tells_how_the_database_stands(database: str, client: DBOSClient) -> None:
    client.enqueue(OPTIONS, "{}")
    finding = _checked(database)
    assert finding.grade == "warning"
    assert "0 processes compute" in finding.text
    assert "1 wait" in finding.text
    heart = Heart(Identity(executor="a", slots=3), QUICK, database, client)
    heart.beat()
    finding = _checked(database)
    assert finding.grade == "ok"
    assert "1 processes compute, 3 series" in finding.text
    heart.stop()
    nowhere = database.rpartition(":")[0] + ":1/work"
    assert _checked(nowhere).grade == "unreachable"


def _checked(database: str) -> Finding:
    config = NodeConfig(work=Work(database=database))
    found = check_node(config, ask_peers=False)
    return next(item for item in found if item.what == "work database")


def test_work_of_who_is_lost_is_handed_over_and_given_up_in_the_end(
    database: str, engine: Engine, client: DBOSClient
) -> None:
    for name in ("lost", "own"):
        client.enqueue({**OPTIONS, "workflow_id": name}, "{}")
    heart = Heart(Identity(executor="alive", slots=1), QUICK, database, client)
    heart.beat()
    for expected in ("ENQUEUED", "CANCELLED"):
        _pretend(engine, "lost", "dead")
        _pretend(engine, "own", "alive")
        heart.look()
        assert _status(client, "lost") == expected
        assert _status(client, "own") == "PENDING"
    heart.stop()
    # a process that ends hands over what it has
    assert _status(client, "own") == "ENQUEUED"


def test_work_that_has_just_begun_is_not_taken_away(
    database: str, engine: Engine, client: DBOSClient
) -> None:
    client.enqueue({**OPTIONS, "workflow_id": "young"}, "{}")
    _pretend(engine, "young", "unknown", age_s=0)
    heart = Heart(Identity(executor="alive", slots=1), QUICK, database, client)
    heart.beat()
    heart.look()
    assert _status(client, "young") == "PENDING"
    heart.stop()


def _pretend(engine: Engine, workflow: str, executor: str, age_s: float = 60) -> None:
    """Have somebody compute a workflow for some time."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = :executor, "
                "started_at_epoch_ms = (extract(epoch from now()) - :age) * 1000 "
                "WHERE workflow_uuid = :workflow"
            ),
            {"executor": executor, "age": age_s, "workflow": workflow},
        )


def _status(client: DBOSClient, workflow: str) -> str:
    (found,) = client.list_workflows(workflow_ids=[workflow])
    return found.status


JOB = Job(
    paths=(Path("/data/series/k/images/a"),),
    out=Path("/data/series/k/results/0001.part"),
    atlas_folder=Path("/atlas"),
    now=datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC),
    levels=(3, 7),
    failed=("code", "reason"),
)


def test_what_crosses_the_database_comes_back_as_it_was() -> None:
    task = Task(atlas="a 1", job=JOB)
    assert wire.read_task(wire.write_task(task)) == task
    answer = Answer(verdict=Verdict.DONE, folder="f", outcome=Outcome(ending=Ending.DONE))
    assert wire.read_answer(wire.write_answer(answer)) == answer


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "null", json.dumps({"schema": 99, "atlas": "a", "job": {}})],
)
def test_task_that_cannot_be_read_is_refused(content: str) -> None:
    with pytest.raises(UnreadableTaskError):
        wire.read_task(content)


def test_task_of_an_older_version_is_read() -> None:
    values = json.loads(wire.write_task(Task(atlas="a", job=JOB)))
    del values["job"]["turn"]
    values["job"]["unheard_of"] = 1
    assert wire.read_task(json.dumps(values)).job == JOB


def test_same_task_has_the_same_name_whatever_its_turn() -> None:
    task = Task(atlas="a", job=JOB)
    name = wire.task_id("n", task)
    assert name.startswith("n-k-0001-")
    assert wire.task_id("n", replace(task, job=replace(JOB, turn=7))) == name
    others = [replace(task, atlas="b"), replace(task, job=replace(JOB, levels=None))]
    assert name not in {wire.task_id("n", item) for item in others}
    assert wire.task_id("m", task) != name


def test_password_comes_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("p w/d\n")
    path.chmod(0o600)
    url = database_url(Work(database="postgresql://me@host/name", password_file=path))
    assert sqlalchemy.make_url(url).password == "p w/d"
    with pytest.raises(ConfigError, match="this role needs a PostgreSQL database"):
        database_url(Work())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"database": "mysql://a@b/c"}, "postgresql"),
        ({"database": "postgresql://a@b"}, "postgresql"),
        ({"database": "postgresql://a:secret@b/c"}, "no password here"),
        ({"heartbeat_s": 10.0}, "three times"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Work.model_validate(values)
