"""The order of system calls: nothing is acknowledged before it is on disk."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import NodeProcess, Peer, storescu, tool, wait_for


def test_fsync_of_file_and_folder_precede_the_answer(
    make_node: Callable[..., NodeProcess], tmp_path: Path, peers: list[Peer]
) -> None:
    node = make_node(DOUBLE)
    node.start()
    trace = tmp_path / "trace"
    tracer = start_tracer(node.pid, trace)
    try:
        _, files = write_series(tmp_path, "a", 1)
        storescu(node.port, files)
        node.wait_for_event("complete")
    finally:
        tracer.terminate()
        tracer.wait(20)
    calls = [call for line in trace.read_text().splitlines() if (call := kind_of(line))]
    first = calls.index("fsync part")
    assert calls[first : first + 4] == ["fsync part", "rename", "fsync folder", "answer"]


def start_tracer(pid: int, trace: Path) -> subprocess.Popen[bytes]:
    strace = tool("strace")
    if strace is None:
        pytest.skip("not installed: strace")
    tracer = subprocess.Popen(
        [strace, "-f", "-y", "-s", "200", "-e", "trace=fsync,rename,sendto", "-o", trace,
         "-p", str(pid)],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # attached to every thread: the kernel names the tracer in each one's status
    tasks = Path(f"/proc/{pid}/task")

    def is_attached() -> bool:
        if tracer.poll() is not None:
            pytest.skip("this machine does not allow tracing")
        return all(
            "TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks.iterdir()
        )

    wait_for(is_attached, what="tracer attached")
    return tracer


def kind_of(line: str) -> str:
    """Return what a traced call is, or nothing where it does not matter.

    A P-DATA-TF PDU, which carries the C-STORE response, begins with the byte 4
    (PS3.8, 9.3.5 "P-DATA-TF PDU Structure").
    """
    kinds = {
        r"fsync\(\d+<.*/incoming/\d+-\d+\.dcm\.part>": "fsync part",
        r'rename\(".*/?incom.*': "rename",
        r"fsync\(\d+<.*/incoming>": "fsync folder",
        r'sendto\(\d+<.*>, "\\4': "answer",
    }
    return next((kind for pattern, kind in kinds.items() if re.search(pattern, line)), "")
