"""A PostgreSQL of its own for a test: a temporary cluster on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import sqlalchemy

from tests.peers import free_port, wait_for

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def is_installed() -> bool:
    return bool(_BINARIES)


class Postgres:
    """A running server; it refuses to run as root, so root lends it another user."""

    def __init__(self) -> None:
        self._bin = _BINARIES[-1].parent
        self._user = "postgres" if os.geteuid() == 0 else None
        # the other user has to get there: no parent may be closed to it
        self.folder = Path(tempfile.mkdtemp(prefix="aspects-postgres-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._run("initdb", "-D", self.folder / "data", "-A", "trust", "-U", "aspects", "-N")

    def _run(self, name: str, *arguments: str | Path) -> None:
        subprocess.run(
            [str(self._bin / name), *map(str, arguments)], user=self._user, cwd=self.folder,
            env={"LC_ALL": "C.UTF-8"}, check=True, capture_output=True, timeout=50,
        )  # fmt: skip

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", "data", "-p", str(self.port), "-h", "127.0.0.1",
                 "-k", str(self.folder), "-c", "fsync=on"],
                user=self._user, cwd=self.folder, env={"LC_ALL": "C.UTF-8"},
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_for(self._answers, 30.0, f"PostgreSQL answers: {self.folder / 'log'}")

    def _answers(self) -> bool:
        probe = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def stop(self, number: int = signal.SIGINT) -> None:
        """Shut down, ending all connections."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, name: str) -> str:
        """Make a database and return its URL."""
        engine = sqlalchemy.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://aspects@127.0.0.1:{self.port}/{name}"
