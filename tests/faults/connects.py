"""Bare TCP connections, as health checks make them: none leaves anything behind.

``python -m tests.faults.connects --count 100000``: the last line is one JSON
object with what the node held before and after.
"""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tests.faults.pdus import associate_request, echo
from tests.faults.soak import Sample, sample
from tests.node.conftest import DOUBLE
from tests.peers import SHARED_DATA, NodeProcess, wait_for

WARM = 200
BEGINNINGS = (b"", b"", b"", b"GET / HTTP/1.0\r\n\r\n", b"\x01\x00\x00\x00\x00\xce", None)
"""What is sent before the connection is closed; None is an association request."""


def connect(port: int, count: int, progress: Callable[[str], None] = lambda _: None) -> None:
    """Open and close so many connections, one after the other."""
    start = time.monotonic()
    for number in range(count):
        data = BEGINNINGS[number % len(BEGINNINGS)]
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(associate_request() if data is None else data)
        if number and number % 5000 == 0:
            progress(f"{number} connections, {time.monotonic() - start:.0f} s")


def at_rest(node: NodeProcess, threads: int | None = None) -> Sample:
    """Return what the node holds when it has ended what was begun."""
    if threads is not None:
        wait_for(lambda: sample([node.pid], 0).threads <= threads, 60.0, "threads ended")
    assert echo(node.port)
    return sample([node.pid], 0)


def run_connects(
    node: NodeProcess, count: int, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Connect so often to a running node; return what it held before and after."""
    idle = sample([node.pid], 0)
    connect(node.port, WARM)
    before = at_rest(node, idle.threads + 2)
    connect(node.port, count, progress)
    after = at_rest(node, before.threads + 2)
    return {
        "connections": count,
        "rss_mib": [round(before.rss_mib, 1), round(after.rss_mib, 1)],
        "fds": [before.fds, after.fds],
        "threads": [before.threads, after.threads],
    }


@click.command()
@click.option("--count", default=100_000, show_default=True, help="How many.")
def main(count: int) -> None:
    """Connect to a node again and again without sending a series."""
    with tempfile.TemporaryDirectory(prefix="connects-") as folder:
        config = {"atlas_folder": str(SHARED_DATA.resolve() / "aspects-281")}
        node = NodeProcess(Path(folder) / "node", config, DOUBLE)
        node.start()
        try:
            report = run_connects(node, count, lambda text: click.echo(text, err=True))
        finally:
            node.stop()
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
