"""The order of system calls: nothing is acknowledged before it is on disk."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import NodeProcess, Peer, storescu, tool, wait_for

IMAGES = 5


@pytest.mark.parametrize("senders", [1, 4])
def test_fsync_of_folder_and_file_precede_the_answer(
    make_node: Callable[..., NodeProcess], tmp_path: Path, peers: list[Peer], senders: int
) -> None:
    node = make_node(DOUBLE)
    node.start()
    trace = tmp_path / "trace"
    tracer = start_tracer(node.pid, trace)
    try:
        with ThreadPoolExecutor(senders) as pool:
            for sender in range(senders):
                _, files = write_series(tmp_path / str(sender), f"s{sender}", IMAGES)
                pool.submit(storescu, node.port, files)
        wait_for(lambda: len(node.events("complete")) == senders, what="all series complete")
    finally:
        tracer.terminate()
        tracer.wait(20)
    judged = judge(trace.read_text().splitlines())
    assert len(judged) == senders * IMAGES
    assert all(judged), trace


@pytest.mark.parametrize(
    ("left_out", "expected"), [(None, [True]), (1, [False]), (2, [False]), (3, [False])]
)
def test_judge_notices_what_is_missing(left_out: int | None, expected: list[bool]) -> None:
    lines = [
        '1 openat(AT_FDCWD</>, "/d/incoming/1.slot", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5',
        "1 fsync(6</d/incoming>) = 0",
        '2 write(7</d/incoming/1.slot>, "x", 1) = 1',
        "2 fsync(7</d/incoming/1.slot> <unfinished ...>",
        "2 <... fsync resumed>) = 0",
        '2 sendto(8<socket:[1]>, "\\4\\0", 2, 0, NULL, 0 <unfinished ...>',
        "2 <... sendto resumed>) = 2",
    ]
    dropped = {1: {1}, 2: {3, 4}, 3: {0}}.get(left_out or 0, set())
    assert judge([line for number, line in enumerate(lines) if number not in dropped]) == expected


def judge(lines: list[str]) -> list[bool]:
    """Tell of each C-STORE response whether its object was durable before.

    In this order: the file's name is made; the folder's fsync begins and ends;
    all of the file is written; the file's fsync begins and ends; the response
    begins. A call is in the trace when it ends, an interrupted one also when it
    begins.
    """
    made: dict[str, int] = {}
    written: dict[str, int] = {}
    synced: dict[str, int] = {}
    folder_from: list[int] = []
    latest: dict[str, str] = {}
    judged = []
    for call in calls(lines):
        if call.kind == "make":
            made[call.path] = call.end
        elif call.kind == "write":
            written[call.path] = call.end
        elif call.kind == "fsync":
            synced[call.path] = call.start
            latest[call.thread] = call.path
        elif call.kind == "fsync folder":
            folder_from.append(call.start)
        else:
            path = latest.pop(call.thread, "")
            # what is in these tables has ended before this response began
            is_named = any(made.get(path, len(lines)) < start for start in folder_from)
            judged.append(is_named and written[path] < synced[path] < call.start)
    return judged


@dataclass(frozen=True)
class Call:
    """A system call, by the numbers of its lines in the trace."""

    thread: str
    kind: str
    path: str
    start: int
    end: int


def calls(lines: list[str]) -> Iterator[Call]:
    """Yield the calls in the order in which they end; a response where it begins."""
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        thread, _, text = line.partition(" ")
        text = text.strip()
        if "<unfinished" in text:
            begun[thread] = (number, text)
            if text.startswith("sendto") and (found := kind_of(text)):
                yield Call(thread, *found, number, number)
            continue
        start = number
        if text.startswith("<..."):
            start, opening = begun.pop(thread)
            if opening.startswith("sendto"):
                continue
            text = opening.replace("<unfinished ...>", "") + text
        if found := kind_of(text):
            yield Call(thread, *found, start, number)


def start_tracer(pid: int, trace: Path) -> subprocess.Popen[bytes]:
    strace = tool("strace")
    if strace is None:
        pytest.skip("not installed: strace")
    tracer = subprocess.Popen(
        [strace, "-f", "-y", "-s", "200", "-e", "trace=openat,write,pwrite64,fsync,sendto",
         "-o", trace, "-p", str(pid)],
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


def kind_of(text: str) -> tuple[str, str] | None:
    """Return what a traced call is and its file; None where it does not matter.

    A P-DATA-TF PDU, which carries the C-STORE response, begins with the byte 4
    (PS3.8, 9.3.5 "P-DATA-TF PDU Structure").
    """
    kinds = {
        r'openat\(.*"(.*/incoming/[^"]+\.slot)".*O_CREAT': "make",
        r"(?:write|pwrite64)\(\d+<(.*/incoming/[^>]+\.slot)>": "write",
        r"fsync\(\d+<(.*/incoming/[^>]+\.slot)>": "fsync",
        r"fsync\(\d+<(.*/incoming)>": "fsync folder",
        r'sendto\(\d+<(.*)>, "\\4': "answer",
    }
    for pattern, kind in kinds.items():
        if match := re.search(pattern, text):
            return kind, match[1]
    return None
