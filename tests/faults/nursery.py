"""Start nodes in a moment: a process that has imported everything, and forks.

Importing takes most of a node's start. Here it is done once; each node is then a
process of its own, with its own threads, files and workers, to be killed.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.peers import ENVIRONMENT, NodeProcess, wait_for


class Forked:
    """A process that is nobody's child here; as much of Popen as the tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return a code when it has ended; which one is not known."""
        return 0 if select.select([self._descriptor], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        if not select.select([self._descriptor], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("node", timeout or 0.0)
        os.close(self._descriptor)
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that forks nodes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, arguments: list[str], log: Path) -> Forked:
        """Start ``aspects-node`` with these arguments."""
        asked = {"arguments": arguments, "log": str(log)}
        _pipe(self._process.stdin).write(json.dumps(asked) + "\n")
        _pipe(self._process.stdin).flush()
        return Forked(int(_pipe(self._process.stdout).readline()))

    def stop(self) -> None:
        """End it; the nodes are ended already."""
        _pipe(self._process.stdin).close()
        self._process.wait(20)
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class ForkedNode(NodeProcess):
    """A node from the nursery."""

    nursery: Nursery

    def start(self, *, wait: bool = True) -> None:
        """Start it; wait until it listens, unless told not to."""
        before = len(self.events("listening")) if self.log.exists() else 0
        self.log.touch()
        self.process = self.nursery.start(  # type: ignore[assignment]  # as much of it as is used
            self._arguments[1:], self.log
        )
        if wait:
            wait_for(lambda: len(self.events("listening")) > before, 60.0, "the node listens")


def main() -> None:
    """Fork a node for each line on standard input; print its process id."""
    for module in ("node.service", "node.commands.serve"):
        importlib.import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _become_node(asked["arguments"], asked["log"])
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _become_node(arguments: list[str], log: str) -> None:
    from node.cli import main as node_main

    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(descriptor, number)
    sys.argv = ["aspects-node", *arguments]
    try:
        node_main()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
