"""A process that works: takes series from the work database and computes them.

It needs the data folders of the nodes that receive, under the same paths, and
the same atlas set. Its results are those of the folder that it names in its
answer, and the database takes one answer alone: from the process that the task
belongs to. So a process that was taken for lost and comes back changes nothing.
"""

from __future__ import annotations

import logging
import shutil
import threading
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dbos import DBOS, DBOSConfig, DBOSConfiguredInstance, DBOSPortableJSONSerializer
from sqlalchemy.exc import SQLAlchemyError

from node.atlas_choice import checked_atlas
from node.config import NodeConfig
from node.configured_pool import make_pool
from node.errors import ComputeError, PoolStoppedError, WorkerCrashedError, WorkerTimeoutError
from node.files import sync_file, sync_folder
from node.pool import WorkerPool
from node.work import wire
from node.work.database import database_url, migrate
from node.work.heart import Heart, Identity
from node.work.remote import make_client
from node.work.wire import Answer, Task, UnreadableTaskError, Verdict

LOG = logging.getLogger(__name__)

_VERSION: Final = "1"
"""A task is one step, which any version does or refuses: this need not change."""
_REFUSAL_S: Final = 2.0
"""One that refuses all must not be the first to take all."""
_AGAIN_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a process works with.

    Attributes
    ----------
    pool : WorkerPool
    heart : Heart
    atlas_folder : Path
    stopping : threading.Event
    """

    pool: WorkerPool
    heart: Heart
    atlas_folder: Path
    stopping: threading.Event


@DBOS.dbos_class(wire.CLASS)
class Jobs(DBOSConfiguredInstance):
    """The one workflow: compute a series.

    Parameters
    ----------
    bench : Bench
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(config_name=wire.INSTANCE)
        self._bench = bench
        self._atlas = wire.atlas_identity(bench.atlas_folder)

    @DBOS.workflow(name=wire.WORKFLOW, max_recovery_attempts=None)
    def compute_job(self, text: str) -> str:
        """Compute what a task asks for; return the answer. Both are JSON."""
        answer = self._answer(text)
        if answer.verdict is Verdict.REFUSED:
            LOG.warning("refused", extra={"reason": answer.text})
            self._bench.stopping.wait(_REFUSAL_S)
        return wire.write_answer(answer)

    def _answer(self, text: str) -> Answer:
        try:
            task = wire.read_task(text)
        except UnreadableTaskError as error:
            return Answer(verdict=Verdict.REFUSED, text=str(error))
        if task.atlas != self._atlas:
            text = f"the worker has the atlas {self._atlas}, {task.atlas} is asked for"
            return Answer(verdict=Verdict.REFUSED, text=text)
        try:
            return self._compute(task)
        except OSError as error:
            text = f"the worker cannot use {task.job.out.parent} ({error.strerror})"
            return Answer(verdict=Verdict.REFUSED, text=text)

    def _compute(self, task: Task) -> Answer:
        losses = self._bench.heart.losses
        out = task.job.out
        folder = out.with_name(f"{out.name}.{uuid.uuid4().hex[:12]}")
        folder.mkdir(mode=0o700)
        is_done = False
        try:
            answer = self._run(replace(task, job=replace(task.job, out=folder)))
            self._bench.heart.beat()
            is_done = answer.verdict is Verdict.DONE and losses == self._bench.heart.losses
        finally:
            if not is_done:  # nobody would come for it
                shutil.rmtree(folder, ignore_errors=True)
        return answer

    def _run(self, task: Task) -> Answer:
        job = replace(task.job, atlas_folder=self._bench.atlas_folder)
        try:
            outcome = self._bench.pool.run(job)
        except PoolStoppedError:
            raise
        except WorkerTimeoutError as error:
            return Answer(verdict=Verdict.TIMED_OUT, text=str(error))
        except WorkerCrashedError as error:
            return Answer(verdict=Verdict.CRASHED, text=str(error))
        except ComputeError as error:
            return Answer(verdict=Verdict.FAILED, code=error.cause_code, text=str(error))
        for path in job.out.iterdir():
            sync_file(path)
        sync_folder(job.out)
        return Answer(verdict=Verdict.DONE, folder=job.out.name, outcome=outcome)


class Worker:
    """A process that takes series from the work database.

    Parameters
    ----------
    config : NodeConfig
    compute : str
        ``package.module:function`` of the computation.
    stopping : threading.Event
        Ends it.

    Raises
    ------
    ConfigError
        No database is configured.
    AtlasError
        The atlas is missing or altered.
    """

    def __init__(self, config: NodeConfig, compute: str, stopping: threading.Event) -> None:
        self._config = config
        self._url = database_url(config.work)
        self._executor = uuid.uuid4().hex
        atlas_folder = checked_atlas(config)
        self.stopping = stopping
        self._client = make_client(self._url, config.work.lost_after_s)
        identity = Identity(executor=self._executor, slots=config.workers)
        self._heart = Heart(identity, config.work, self._url, self._client)
        self._pool = make_pool(config, compute, atlas_folder)
        self._bench = Bench(
            pool=self._pool, heart=self._heart, atlas_folder=atlas_folder, stopping=self.stopping
        )
        self._is_launched = False

    def start(self) -> None:
        """Take work as soon as the database is there and a worker process is warm.

        Raises
        ------
        ConfigError
            The tables of the database are of a newer version.
        """
        self._await_database()
        if self.stopping.is_set():
            return
        self._pool.warm_up()
        self._heart.start()
        settings: DBOSConfig = {
            "name": wire.APPLICATION,
            "system_database_url": self._url,
            "application_version": _VERSION,
            "executor_id": self._executor,
            "serializer": DBOSPortableJSONSerializer(),
            "sys_db_idle_transaction_timeout_sec": self._config.work.lost_after_s,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=settings)
        DBOS.listen_queues([wire.QUEUE])
        Jobs(self._bench)
        self._is_launched = True
        DBOS.launch()
        DBOS.register_queue(
            wire.QUEUE,
            worker_concurrency=self._config.workers,
            global_concurrency=self._config.work.most_at_once,
            polling_interval_sec=self._config.work.poll_s,
            on_conflict="always_update",
        )
        LOG.info("working", extra={"executor": self._executor, "workers": self._config.workers})

    def stop(self) -> None:
        """Stop; others go on at once with what is unfinished."""
        self.stopping.set()
        if self._is_launched:
            DBOS.destroy()
        self._heart.stop()
        self._pool.stop()
        self._client.destroy()
        LOG.info("stopped")

    def _await_database(self) -> None:
        is_said = False
        while not self.stopping.is_set():
            try:
                migrate(self._url)
            except SQLAlchemyError as error:
                if not is_said:
                    LOG.warning("waiting_for_work_database", extra={"error": type(error).__name__})
                is_said = True
                self.stopping.wait(_AGAIN_S)
            else:
                return


def work(config: NodeConfig, compute: str, stopping: threading.Event) -> None:
    """Work until it is asked to stop.

    Raises
    ------
    ConfigError, AtlasError
        Nothing was started.
    """
    this = Worker(config, compute, stopping)
    try:
        this.start()
        stopping.wait()
    finally:
        this.stop()
