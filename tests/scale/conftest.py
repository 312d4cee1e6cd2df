"""A PostgreSQL for all tests here, and processes that share one database of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from tests.node.conftest import DOUBLE
from tests.peers import NodeProcess, Peer, StoreScp, free_port, peer, wait_for
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

    def __init__(self, folder: Path, database: str, atlas: Path, peers: list[Peer]) -> None:
        self.database = database
        self.pacs = StoreScp(folder / "pacs")
        self._folder = folder
        self._peers = peers
        self.work = {
            "database": database, "heartbeat_s": 0.3, "lost_after_s": 1.5, "poll_s": 0.1,
        }  # fmt: skip
        self._config = {
            "atlas_folder": str(atlas),
            "default_peer": "pacs",
            "peers": [peer("pacs", "PACS", self.pacs.port)],
            "work": self.work,
        }
        peers.append(self.pacs)
        self.pacs.start()
        self._engine = sqlalchemy.create_engine(database, pool_pre_ping=True)

    def receiver(self, name: str = "node", **config: Any) -> NodeProcess:
        """Return a started node that receives and does not compute."""
        found = NodeProcess(self._folder / name, {**self._config, **config}, DOUBLE)
        found._arguments += ["--role", "receive"]
        self._peers.append(found)
        found.start()
        return found

    def worker(self, name: str, *, wait: bool = True, **config: Any) -> WorkProcess:
        """Return a started process that computes."""
        values = {**self._config, "port": free_port(), **config}
        found = WorkProcess(self._folder / name, values)
        self._peers.append(found)
        found.start(wait=wait)
        return found

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of the work database."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(statement))]

    def computing(self) -> list[str]:
        """Return the executors of what is being computed."""
        rows = self.ask("SELECT executor_id FROM dbos.workflow_status WHERE status = 'PENDING'")
        return [str(row[0]) for row in rows]

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def site(tmp_path: Path, database: str, atlas_folder: Path, peers: list[Peer]) -> Iterator[Site]:
    """A PACS and an empty database."""
    found = Site(tmp_path, database, atlas_folder, peers)
    yield found
    found.close()


@pytest.fixture
def send(tmp_path: Path) -> Callable[..., str]:
    """Return a function that makes a series, sends it and returns its UID."""
    from tests.node.series import write_series
    from tests.peers import storescu

    def act(node: NodeProcess, name: str, protocol: str = "") -> str:
        uid, files = write_series(tmp_path / "ct", name, protocol=protocol)
        storescu(node.port, files)
        return uid

    return act
