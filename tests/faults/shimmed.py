"""A node whose disk or clock does what a test says."""

from __future__ import annotations

import errno
import struct
import subprocess
from pathlib import Path

import pytest

from tests.peers import NodeProcess, tool

SHIM = Path(__file__).with_name("shim.c")


def preload(node: NodeProcess, **variables: str | Path) -> None:
    """Let a node that is not started run with these environment variables."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    node._arguments = ["/usr/bin/env", *settings, *node._arguments]


def compiled(folder: Path) -> Path:
    """Compile the library that stands before the system's."""
    compiler = tool("cc")
    if compiler is None:
        pytest.skip("not installed: gcc")
    library = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SHIM], check=True)
    return library


class Disk:
    """Makes calls of a node fail."""

    def __init__(self, node: NodeProcess, folder: Path) -> None:
        self._control = folder / "control"
        preload(node, LD_PRELOAD=compiled(folder), FAULT_CONTROL=self._control)

    def fail(self, call: str, number: int, part: str = "/incoming/") -> None:
        """Let a call on files of such a path end with an error number; 0: write half."""
        temporary = self._control.with_suffix(".new")
        temporary.write_text(f"{call} {number} {part}")
        temporary.rename(self._control)

    def mend(self) -> None:
        """Let nothing fail any more."""
        self._control.unlink()


class Clock:
    """Makes the wall clock of a node jump; its monotonic clock stays true."""

    def __init__(self, node: NodeProcess, folder: Path) -> None:
        self._control = folder / "clock"
        self._control.write_bytes(struct.pack("q", 0))
        preload(node, LD_PRELOAD=compiled(folder), FAULT_CLOCK=self._control)

    def jump(self, seconds: int) -> None:
        """Set how far it is ahead of the true time."""
        with self._control.open("r+b") as file:
            file.write(struct.pack("q", seconds))


ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS")}
