"""A PostgreSQL for all tests here, and processes that share one database of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from node.state import series_key
from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import (
    NodeProcess,
    Peer,
    StoreScp,
    free_port,
    peer,
    storescu,
    tool,
    wait_for,
)
from tests.postgres import Postgres, is_installed

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server."""
    if not is_installed():
        pytest.skip("not installed: postgresql")
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """URL of a database that is empty."""
    return postgres.create(f"work{next(_numbers)}")


class WorkProcess(NodeProcess):
    """``aspects-node serve --role work``; it listens on no port."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        super().__init__(folder, config, DOUBLE)
        self._arguments += ["--role", "work"]

    def start(self, *, wait: bool = True) -> None:
        before = len(self.events("working")) if self.log.exists() else 0
        Peer.start(self, wait=False)
        if wait:
            wait_for(lambda: len(self.events("working")) > before, 30.0, f"it works: {self.log}")

    @property
    def executor(self) -> str:
        """Name under which it is known in the database."""
        return str(self.events("working")[-1]["executor"])


class Site:
    """A PACS, and nodes and workers that share a database."""

    def __init__(self, folder: Path, database: str, atlas: Path) -> None:
        self.pacs = StoreScp(folder / "pacs")
        self.workers: list[WorkProcess] = []
        self._folder = folder
        self._peers: list[Peer] = [self.pacs]
        self._work = {
            "database": database, "heartbeat_s": 0.3, "lost_after_s": 1.5, "poll_s": 0.1,
        }  # fmt: skip
        self._config = {
            "atlas_folder": str(atlas),
            "default_peer": "pacs",
            "peers": [peer("pacs", "PACS", self.pacs.port)],
            "work": self._work,
        }
        self._engine = sqlalchemy.create_engine(database, pool_pre_ping=True)
        self.pacs.start()
        self.node = self.receiver("node")

    def receiver(self, name: str) -> NodeProcess:
        """Return a started node that receives and does not compute."""
        found = NodeProcess(self._folder / name, self._config, DOUBLE)
        found._arguments += ["--role", "receive"]
        self._peers.append(found)
        found.start()
        return found

    def have(self, count: int) -> list[WorkProcess]:
        """Return so many processes that compute; those that are missing are started."""
        living = [item for item in self.workers if item.process is not None]
        for _ in range(count - len(living)):
            living.append(self.start_worker())
        for item in living:
            item.wait_for_event("working", 30.0)
        return living

    def start_worker(self, **work: Any) -> WorkProcess:
        """Start one more, with other values in ``[work]``."""
        values = {**self._config, "port": free_port(), "work": {**self._work, **work}}
        found = WorkProcess(self._folder / f"worker-{len(self.workers)}", values)
        self._peers.append(found)
        self.workers.append(found)
        found.start(wait=False)
        return found

    def send(self, name: str, protocol: str = "", node: NodeProcess | None = None) -> str:
        """Send a series and return its UID."""
        uid, files = write_series(self._folder / "ct", name, protocol=protocol)
        storescu((node or self.node).port, files)
        return uid

    def results(self, uid: str) -> Path:
        """Return the folder of results of a series."""
        return self.node.data / "series" / series_key(uid) / "results"

    def holder(self, uid: str) -> WorkProcess:
        """Wait until a process computes a series, and return it."""
        wait_for((self.results(uid) / "tried").exists, 30.0, f"{uid} is being computed")
        (executor,) = self.ask(
            "SELECT executor_id FROM dbos.workflow_status WHERE status = 'PENDING' "
            f"AND workflow_uuid LIKE '%-{series_key(uid)}-%'"
        )[0]
        return next(item for item in self.workers if item.executor == executor)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of the work database."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(statement))]

    def close(self) -> None:
        """End everything."""
        self._engine.dispose()
        for item in reversed(self._peers):
            item.kill()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, atlas_folder: Path
) -> Iterator[Site]:
    """A PACS, a node that receives, and a database of their own."""
    if tool("storescp") is None:
        pytest.skip("not installed: dcmtk")
    database = postgres.create(f"work{next(_numbers)}")
    found = Site(tmp_path_factory.mktemp("scale"), database, atlas_folder)
    try:
        yield found
    finally:
        found.close()
