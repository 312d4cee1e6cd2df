"""Worker processes that stay warm: native code may crash there, not here.

Each worker is one spawned process with a pipe. A job runs on one worker; if the
process dies or takes too long it is replaced, and only its own job knows.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import queue
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Protocol

from node.errors import (
    ComputeError,
    PoolStoppedError,
    WorkerCrashedError,
    WorkerTimeoutError,
)
from node.job import Ending, Job, Outcome
from pipeline.errors import PipelineError

LOG = logging.getLogger(__name__)

_SPAWN: Final = multiprocessing.get_context("spawn")
_WARM_LIMIT_S: Final = 300.0
_CRASHED: Final = 70
_OUT_OF_MEMORY: Final = 71

WORKER_MEMORY: Final = 6 << 30
"""Several times what a head of 600 slices takes."""

Compute = Callable[[Job], Outcome]


class Computer(Protocol):
    """Computes jobs: on this machine, or on others."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers on this machine."""

    def warm_up(self) -> None:
        """Wait until a first job would not wait for more than itself."""

    def run(self, job: Job) -> Outcome:
        """Compute one series; see `WorkerPool.run` for what it raises."""

    def stop(self) -> None:
        """End what runs with PoolStoppedError."""


@dataclass(frozen=True, slots=True)
class _Start:
    """What a worker process needs to begin."""

    compute: str
    atlas_folder: Path
    log_level: str
    memory: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """An exception of the computation, as it crosses the pipe."""

    code: str
    text: str


def load_compute(path: str) -> Compute:
    """Import the function that a dotted path ``package.module:function`` names."""
    module, _, name = path.partition(":")
    compute: Compute = getattr(importlib.import_module(module), name)
    return compute


def _warm_up(start: _Start) -> Compute:
    """Import, load and do once now what the first series would else wait for."""
    compute = load_compute(start.compute)
    module = importlib.import_module(start.compute.partition(":")[0])
    if warm_up := getattr(module, "warm_up", None):
        try:
            warm_up(start.atlas_folder)
        except Exception:  # a cold worker is slow, not broken
            LOG.exception("warm_up_failed")
    return compute


def _watch(lifeline: Connection) -> None:
    """End the process when the node is gone: its end of the pipe closes."""
    wait([lifeline])
    os._exit(1)


def _attempt(compute: Compute, job: Job) -> Outcome | _Failure:
    try:
        return _plain(compute(job))
    except PipelineError as error:
        return _Failure(error.code, str(error))
    except MemoryError:
        # the process is not to be trusted any more
        LOG.exception("out_of_memory")
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:  # whatever it is, the node has to hear of it
        LOG.exception("compute_failed")
        return _Failure("internal", f"{type(error).__name__} in the computation")


def _plain(outcome: Outcome) -> Outcome:
    """Leave nothing that makes the node import the pipeline to read it."""
    timings_s = {str(name): float(value) for name, value in (outcome.timings_s or {}).items()}
    return replace(
        outcome,
        ending=Ending(outcome.ending),
        code=str(outcome.code),
        reason=str(outcome.reason),
        quality=str(outcome.quality),
        timings_s=timings_s,
    )


def _work(start: _Start, pipe: Connection, lifeline: Connection) -> None:
    """Run jobs until the pipe closes: the main function of a worker process."""
    from node.logs import set_up_logs

    set_up_logs(start.log_level)
    try:
        _run_jobs(start, pipe, lifeline)
    except BaseException:  # the library would print its message, which may quote a value
        LOG.exception("worker_crashed")
        os._exit(_CRASHED)


def _run_jobs(start: _Start, pipe: Connection, lifeline: Connection) -> None:
    # whatever a file makes a decoder ask for, the machine has to live on
    resource.setrlimit(resource.RLIMIT_AS, (start.memory, start.memory))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the node decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    compute = _warm_up(start)
    pipe.send(None)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(_attempt(compute, job))


class _Worker:
    """One process and the node's ends of its pipes."""

    def __init__(self, start: _Start) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        lifeline, self._lifeline = _SPAWN.Pipe(duplex=False)
        self._process = _SPAWN.Process(
            target=_work, args=(start, theirs, lifeline), name="worker", daemon=True
        )
        self._process.start()
        theirs.close()
        lifeline.close()
        self._is_warm = False

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid or 0

    def await_warm(self) -> None:
        """Wait until the process has imported what it needs."""
        if not self._is_warm:
            self._receive(_WARM_LIMIT_S)
            self._is_warm = True

    def run(self, job: Job, limit_s: float) -> Outcome | _Failure:
        self.await_warm()
        try:
            self._pipe.send(job)
        except OSError as error:
            raise WorkerCrashedError("the worker process was gone") from error
        answer: Outcome | _Failure = self._receive(limit_s)
        return answer

    def _receive(self, limit_s: float) -> Any:
        if not self._pipe.poll(limit_s):
            raise WorkerTimeoutError(f"the computation took more than {limit_s:g} s")
        try:
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(1.0)
            code = self._process.exitcode
            is_memory = code == _OUT_OF_MEMORY
            why = "it needed more than worker_memory" if is_memory else f"exit code {code}"
            raise WorkerCrashedError(f"the worker process died ({why})") from error

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._lifeline.close()


class WorkerPool:
    """A fixed number of warm workers.

    Parameters
    ----------
    compute : str
        ``package.module:function`` of the computation.
    workers : int
    limit_s : float
        A job that takes longer is stopped.
    atlas_folder : Path
        Loaded by each worker when it starts.
    log_level : str
    memory : int
        Bytes of address space that each may have.
    """

    def __init__(
        self,
        compute: str,
        *,
        workers: int,
        limit_s: float,
        atlas_folder: Path,
        log_level: str,
        memory: int = WORKER_MEMORY,
    ) -> None:
        self._start = _Start(compute, atlas_folder, log_level, memory)
        self._limit_s = limit_s
        self._idle: queue.Queue[_Worker | None] = queue.Queue()
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._is_stopping = False
        for _ in range(workers):
            self._add()

    def _add(self) -> None:
        with self._lock:
            if not self._is_stopping:
                worker = _Worker(self._start)
                self._all.add(worker)
                self._idle.put(worker)

    def warm_up(self) -> None:
        """Wait until a worker has imported what it needs; say how long it took."""
        start = time.monotonic()
        worker = self._take()
        try:
            worker.await_warm()
        except WorkerCrashedError:
            self._replace(worker)
            raise
        self._idle.put(worker)
        LOG.info("workers_warm", extra={"seconds": round(time.monotonic() - start, 3)})

    def run(self, job: Job) -> Outcome:
        """Compute one series.

        Raises
        ------
        WorkerCrashedError, WorkerTimeoutError
            The process was replaced; trying again may help.
        PoolStoppedError
            The node is stopping.
        ComputeError
            The computation raised something that trying again will not mend.
        """
        worker = self._take()
        try:
            answer = worker.run(job, self._limit_s)
        except (WorkerCrashedError, WorkerTimeoutError):
            self._replace(worker)
            self._require_running()
            raise
        self._idle.put(worker)
        if isinstance(answer, _Failure):
            raise ComputeError(answer.text, answer.code)
        return answer

    def _take(self) -> _Worker:
        worker = self._idle.get()
        if worker is None:
            self._idle.put(None)  # for the next one who waits
            raise PoolStoppedError("the node is stopping")
        return worker

    def _require_running(self) -> None:
        if self._is_stopping:
            raise PoolStoppedError("the node is stopping")

    def _replace(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.stop()
        self._add()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers."""
        with self._lock:
            return tuple(worker.pid for worker in self._all)

    def stop(self) -> None:
        """Stop all workers at once; running jobs end with PoolStoppedError."""
        with self._lock:
            self._is_stopping = True
            workers = tuple(self._all)
        self._idle.put(None)
        for worker in workers:
            worker.stop()
