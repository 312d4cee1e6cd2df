"""What the engine costs for each series, and how the work spreads over workers.

The engine, its database and the ledger are those of the node; what is left out
is the network on both sides. Each measurement is a process of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import sqlalchemy
from dbos import EnqueueOptions

from node.commitment_scu import CommitmentScu
from node.config import NodeConfig
from node.delivery import Deliverer
from node.errors import PoolStoppedError
from node.job import Job, Outcome
from node.peer import Peer
from node.pool import Computer, WorkerPool
from node.scale_compute import compute_nothing
from node.state import Generation, Ledger, SeriesRecord, State
from node.work import wire
from node.work.database import migrate
from node.work.remote import RemotePool, make_client
from node.work.settings import Work
from node.workflow import Engine, Tools

_SPAWN: Final = get_context("spawn")
_LIMIT_S: Final = 900.0
_AT_ONCE: Final = 8
"""So many in work at a time: the engine shall be busy, not wait for its next look."""
_FILLING: Final = 4
_PLUG: Final = "plug"
_STOP: Final = "stop"
_LAST: Final = 2**31 - 1
_PASSWORD: Final = "ASPECTS_NODE_BENCH_PASSWORD"  # noqa: S105 - the name of the variable
_OVER: Final = (State.DONE, State.REJECTED, State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """Where and with what is measured.

    Attributes
    ----------
    folder : Path
        Empty; becomes the data folder.
    atlas_folder : Path
    database : str or None
        URL of a work database; None: the node computes itself.
    workers : int
        Processes that compute.
    images : Path or None
        Folder of the series that is computed; None: nothing is.
    """

    folder: Path
    atlas_folder: Path
    database: str | None
    workers: int = 1
    images: Path | None = None


class _Ends:
    """Hears when series come to their end."""

    def __init__(self, ledger: Ledger) -> None:
        self._changed = threading.Condition()
        self.times: list[float] = []
        ledger.subscribe(self._hear)

    def _hear(self, before: SeriesRecord | None, after: SeriesRecord) -> None:
        was = None if before is None else before.state
        if after.state in _OVER and was not in _OVER:
            with self._changed:
                self.times.append(time.perf_counter())
                self._changed.notify_all()

    def wait(self, count: int) -> list[float]:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.times) >= count, _LIMIT_S):
                raise TimeoutError(f"{len(self.times)} of {count} series came to an end")
            return self.times[:count]


class _Gate:
    """Computes nothing, and not before the queue is as long as it should be."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.opened = threading.Event()
        self._stopped = threading.Event()
        self.pids: tuple[int, ...] = ()

    def warm_up(self) -> None:
        pass

    def run(self, job: Job) -> Outcome:
        key = job.out.parent.parent.name
        if key.startswith(_PLUG):
            self.begun.release()
            self.opened.wait()
        if key.startswith(_STOP):
            self._stopped.wait()
            raise PoolStoppedError("the measurement is over")
        return compute_nothing(job)

    def stop(self) -> None:
        self._stopped.set()


class _Node:
    """The engine of a node, with its ledger."""

    def __init__(self, rig: Rig, pool: Computer, at_once: int) -> None:
        nowhere = Peer(name="nowhere", ae_title="NOWHERE", host="127.0.0.1", port=104)
        config = NodeConfig(
            data_folder=rig.folder, peers=(nowhere,), default_peer="nowhere", log_level="ERROR"
        )
        self._images = rig.images
        self.ledger = Ledger(rig.folder / "series")
        self.ends = _Ends(self.ledger)
        self._pool = pool
        tools = Tools(
            config=config,
            ledger=self.ledger,
            pool=pool,
            deliverer=Deliverer(config, self.ledger, random.Random()),  # noqa: S311 - jitter
            commitment=CommitmentScu(config, self.ledger),
            atlas_folder=rig.atlas_folder,
        )
        self.engine = Engine(tools, rig.folder, at_once)
        self.engine.start()

    def add(self, key: str, turn: int) -> None:
        """Take up a series and enqueue it; the smaller its turn, the sooner it comes."""
        at = 1_800_000_000.0 + turn
        self.ledger.add(
            SeriesRecord(
                key=key, series_uid=f"2.25.{turn}", calling_ae="BENCH", receiving=False,
                first_received=at, last_received=at,
                generations=[
                    Generation(number=1, images=self._link(key), complete=at, last_received=at)
                ],
            )
        )  # fmt: skip
        self.engine.submit(key, 1)

    def _link(self, key: str) -> list[str]:
        if self._images is None:
            return []
        folder = self.ledger.images(key)
        folder.mkdir(parents=True)
        names = sorted(path.name for path in self._images.iterdir())
        for name in names:
            (folder / name).hardlink_to(self._images / name)
        return names

    def stop(self) -> None:
        self.engine.stop()
        self._pool.stop()


def overhead(rig: Rig, queued: int, runs: int) -> dict[str, float]:
    """Measure what the engine takes for a series while so many wait.

    Parameters
    ----------
    rig : Rig
    queued : int
        Series in the queue behind those that are measured. With 1 each series
        is alone, and the time is from its place in the queue to its end, most
        of it until the queue is looked at; else it is the time between two ends,
        as the queue is worked off.
    runs : int
        Series that are measured.

    Returns
    -------
    dict of str to float
        ``"series_s"``; ``"cpu_s"`` of this process for a series; ``"enqueue_s"``:
        to put one into the queue.
    """
    measure = _overhead_own if rig.database is None else _overhead_shared
    return _in_a_process(measure, rig, queued, runs)


def rate(rig: Rig, series: int) -> dict[str, float]:
    """Measure how many series an hour the workers compute, warm, from a full queue.

    Returns
    -------
    dict of str to float
        ``"series_per_hour"``; ``"cpu_s"`` of all processes for a series.
    """
    return _in_a_process(_rate, rig, series)


def _in_a_process(measure: object, *arguments: object) -> dict[str, float]:
    """Call a function in a new process: an engine lives as long as its process."""
    with ProcessPoolExecutor(1, mp_context=_SPAWN) as executor:
        found: dict[str, float] = executor.submit(measure, *arguments).result()  # type: ignore[arg-type]  # any of ours
        return found


def _overhead_own(rig: Rig, queued: int, runs: int) -> dict[str, float]:
    logging.disable(logging.ERROR)
    gate = _Gate()
    node = _Node(rig, gate, _AT_ONCE)
    try:
        if queued == 1:
            gate.opened.set()
            return _one_by_one(node, runs)
        for number in range(_AT_ONCE):
            node.add(f"{_PLUG}{number}", number)
            gate.begun.acquire()
        start = time.perf_counter()
        for number in range(queued):
            node.engine.submit(f"waiting{number}", 1)
        filled = time.perf_counter() - start
        for number in range(runs):
            node.add(f"measured{number}", _AT_ONCE + number)
        for number in range(_AT_ONCE):
            node.add(f"{_STOP}{number}", _AT_ONCE + runs + number)
        gate.opened.set()
        return _figures(node.ends, _AT_ONCE, runs) | {"enqueue_s": filled / queued}
    finally:
        node.stop()


def _overhead_shared(rig: Rig, queued: int, runs: int) -> dict[str, float]:
    logging.disable(logging.ERROR)
    with ExitStack() as stack:
        url = stack.enter_context(_empty_database(rig.database or ""))
        node = _Node(rig, _remote(rig, url), 32)
        stack.callback(node.stop)
        if queued == 1:
            stack.enter_context(_work_process(rig, url, 0, "compute_nothing"))
            _await_workers(url, 1)
            return _one_by_one(node, runs)
        start = time.perf_counter()
        _fill(url, queued)
        filled = time.perf_counter() - start
        for number in range(runs):
            node.add(f"measured{number}", number + 1)
        stack.enter_context(_work_process(rig, url, 0, "compute_nothing", _AT_ONCE))
        return _figures(node.ends, 0, runs) | {"enqueue_s": filled / queued}


def _one_by_one(node: _Node, runs: int) -> dict[str, float]:
    took = []
    for number in range(runs):
        start = time.perf_counter()
        node.add(f"measured{number}", number + 1)
        took.append(node.ends.wait(number + 1)[-1] - start)
    return {"series_s": sum(took) / runs}


def _figures(ends: _Ends, before: int, runs: int) -> dict[str, float]:
    """Return the time from the end of the first one to that of the last."""
    first = ends.wait(before + 1)[-1]
    used = time.process_time()
    last = ends.wait(before + runs)[-1]
    return {
        "series_s": (last - first) / (runs - 1),
        "cpu_s": (time.process_time() - used) / (runs - 1),
    }


def _fill(url: str, count: int) -> None:
    client = make_client(url)

    def enqueue(number: int) -> None:
        options: EnqueueOptions = {
            "workflow_name": wire.WORKFLOW,
            "class_name": wire.CLASS,
            "instance_name": wire.INSTANCE,
            "queue_name": wire.QUEUE,
            "workflow_id": f"waiting{number}",
            "priority": _LAST,
        }
        client.enqueue(options, "{}")

    with ThreadPoolExecutor(_FILLING) as executor:
        list(executor.map(enqueue, range(count)))
    client.destroy()


def _rate(rig: Rig, series: int) -> dict[str, float]:
    logging.disable(logging.ERROR)
    with ExitStack() as stack:
        pool: Computer
        if rig.database is None:
            pool = WorkerPool(
                "node.scale_compute:compute_all", workers=rig.workers, limit_s=600.0,
                atlas_folder=rig.atlas_folder, log_level="ERROR",
            )  # fmt: skip
            for _ in range(rig.workers):
                pool.warm_up()
        else:
            url = stack.enter_context(_empty_database(rig.database))
            for number in range(rig.workers):
                stack.enter_context(_work_process(rig, url, number, "compute_all"))
            _await_workers(url, rig.workers)
            pool = _remote(rig, url)
        node = _Node(rig, pool, max(rig.workers, 32 if rig.database else 1))
        stack.callback(node.stop)
        start, used = time.perf_counter(), _processor_s()
        for number in range(series):
            node.add(f"series{number}", number + 1)
        seconds = node.ends.wait(series)[-1] - start
        used = _processor_s() - used
        states = node.ledger.survey(lambda all_of_them: {item.state for item in all_of_them})
        if states != {State.DONE}:
            raise RuntimeError(f"not all series were mapped: {sorted(states)}")
    return {"series_per_hour": 3600 * series / seconds, "cpu_s": used / series}


def _processor_s() -> float:
    """Return what this process and all that it started have used, in seconds.

    Of a machine that others use too it tells more than the clock.
    """
    found: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # the name in parentheses may hold anything
            fields = path.read_text().rpartition(")")[2].split()
            found[int(path.parent.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _) in found.items() if parent in ours} - ours:
        ours |= more
    return sum(found[pid][1] for pid in ours if pid in found) / os.sysconf("SC_CLK_TCK")


def _remote(rig: Rig, url: str) -> RemotePool:
    return RemotePool(url, node="bench", atlas_folder=rig.atlas_folder, poll_s=Work().poll_s)


@contextmanager
def _empty_database(server: str) -> Iterator[str]:
    """Make a database beside the one that is named, and drop it."""
    name = f"aspects_node_bench_{uuid.uuid4().hex[:8]}"
    url = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        own = url.set(database=name).render_as_string(hide_password=False)
        migrate(own)
        yield own
    finally:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        engine.dispose()


@contextmanager
def _work_process(rig: Rig, url: str, number: int, function: str, slots: int = 1) -> Iterator[None]:
    """Run ``aspects-node serve --role work``."""
    parts = sqlalchemy.make_url(url)
    config = rig.folder / f"work{number}.toml"
    config.write_text(
        f'atlas_folder = "{rig.atlas_folder}"\nlog_level = "ERROR"\nworkers = {slots}\n[work]\n'
        f'database = "{parts.set(password=None).render_as_string()}"\n'
        + (f'password_env = "{_PASSWORD}"\n' if parts.password else ""),
        encoding="utf-8",
    )
    command = [
        sys.executable, "-c", "from node.cli import main; main()", "serve", "--role", "work",
        "--config", str(config), "--compute", f"node.scale_compute:{function}",
    ]  # fmt: skip
    environment = {**os.environ, _PASSWORD: str(parts.password or "")}
    process = subprocess.Popen(command, env=environment)  # noqa: S603 - our own arguments
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _await_workers(url: str, count: int) -> None:
    engine = sqlalchemy.create_engine(url)
    deadline = time.monotonic() + _LIMIT_S
    statement = sqlalchemy.text("SELECT count(*) FROM aspects_node.executors")
    with engine.connect() as connection:
        while connection.execute(statement).scalar_one() < count:
            connection.rollback()
            if time.monotonic() > deadline:
                raise TimeoutError("the workers did not start")
            time.sleep(0.1)
    engine.dispose()
