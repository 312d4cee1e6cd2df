from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.errors import ComputeError, PoolStoppedError, WorkerCrashedError, WorkerTimeoutError
from node.job import Ending, Job
from node.pool import WorkerPool
from tests.node import double
from tests.node.series import write_series
from tests.peers import ENVIRONMENT, wait_for


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    found = WorkerPool(
        "tests.node.double:compute",
        workers=1,
        limit_s=3.0,
        atlas_folder=tmp_path,
        log_level="ERROR",
    )
    yield found
    found.stop()


def job(folder: Path, protocol: str) -> Job:
    _, files = write_series(folder / "in", "a", 1, protocol=protocol)
    out = folder / "out" / "results"
    out.mkdir(parents=True, exist_ok=True)
    return Job(paths=tuple(files), out=out, atlas_folder=folder, now=datetime.now(UTC))


def test_warm_worker_stays(pool: WorkerPool, tmp_path: Path) -> None:
    pool.warm_up()
    before = pool.pids
    assert pool.run(job(tmp_path, "")).ending is Ending.DONE
    assert pool.run(job(tmp_path, "")).ending is Ending.DONE
    assert pool.pids == before


def test_crash_is_told_and_the_worker_replaced(pool: WorkerPool, tmp_path: Path) -> None:
    before = pool.pids
    with pytest.raises(WorkerCrashedError, match="exit code -9"):
        pool.run(job(tmp_path, double.CRASH_ONCE))
    assert pool.run(job(tmp_path, double.CRASH_ONCE)).ending is Ending.DONE
    assert pool.pids != before


def test_hang_is_ended(pool: WorkerPool, tmp_path: Path) -> None:
    with pytest.raises(WorkerTimeoutError, match="more than 3 s"):
        pool.run(job(tmp_path, double.HANG))
    assert pool.run(job(tmp_path, "")).ending is Ending.DONE


def test_defect_keeps_the_worker(pool: WorkerPool, tmp_path: Path) -> None:
    before = pool.pids
    with pytest.raises(ComputeError, match="made to fail") as raised:
        pool.run(job(tmp_path, double.DEFECT))
    assert raised.value.cause_code == "encoding"
    assert pool.pids == before


def test_stopped_pool_takes_no_job(pool: WorkerPool, tmp_path: Path) -> None:
    pool.warm_up()
    pool.stop()
    for _ in range(2):  # the first still finds the dead worker
        with pytest.raises(PoolStoppedError):
            pool.run(job(tmp_path, ""))


_PARENT = """
import os, pathlib, sys
from node.pool import WorkerPool
if __name__ == "__main__":
    pool = WorkerPool("tests.node.double:compute", workers=1, limit_s=9.0,
                      atlas_folder=pathlib.Path(), log_level="ERROR")
    pool.warm_up()
    print(*pool.pids, flush=True)
    sys.stdin.read()
"""


def test_workers_end_with_a_killed_node(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid), what="worker ended")


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
