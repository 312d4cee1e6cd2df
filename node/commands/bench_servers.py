"""The servers of the benchmarks, each a process of its own on a free port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from node.commands.shared import system_tool

ENVIRONMENT: Final = {**os.environ, "TCP_NODELAY": "1"}
IDLE: Final = "quiet_time_s = 3600\nincomplete_quiet_time_s = 3600\nlongest_quiet_time_s = 3600\n"
"""Settings with which a node computes nothing meanwhile."""

_START_S: Final = 60.0
_WARM_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens."""

    name: str
    port: int
    process: subprocess.Popen[bytes]


def send(storescu: str, port: int, folders: list[Path]) -> float:
    """Return the seconds until all senders have ended."""
    start = time.monotonic()
    running = [
        subprocess.Popen(  # noqa: S603 - our own arguments
            [storescu, "+sd", "-aec", "ASPECTS", "127.0.0.1", str(port), str(folder)],
            env=ENVIRONMENT,
        )
        for folder in folders
    ]
    if any(process.wait() for process in running):
        raise click.ClickException(f"a sender to port {port} failed")
    return time.monotonic() - start


@contextmanager
def node_server(folder: Path, atlas_folder: Path, settings: str = IDLE) -> Iterator[Server | None]:
    """Run a node with a warm worker; its configuration ends with these settings."""
    port = free_port()
    config = folder / "node.toml"
    config.write_text(
        f'port = {port}\ndata_folder = "node-data"\n'
        f"atlas_folder = {json.dumps(str(atlas_folder))}\n"
        f"accept_unknown_callers = true\nmin_free_disk = 0\n{settings}[web]\nenabled = false\n",
        encoding="utf-8",
    )
    command = Path(sys.executable).with_name("aspects-node")
    with _running("node", [str(command), "serve", "--config", str(config)], port, folder) as found:
        _await_warm(folder / "node.log")
        yield found


@contextmanager
def storescp_server(folder: Path) -> Iterator[Server | None]:
    """Run dcmtk's storescp; what it receives is in ``folder / "storescp"``."""
    port, received = free_port(), folder / "storescp"
    received.mkdir()
    command = [system_tool("storescp"), "--fork", "--promiscuous", "-od", str(received), str(port)]
    with _running("storescp", command, port, folder) as found:
        yield found


@contextmanager
def orthanc_server(folder: Path) -> Iterator[Server | None]:
    """Run Orthanc, which syncs each file and not its folder."""
    port, data = free_port(), folder / "orthanc"
    data.mkdir()
    settings = {
        "StorageDirectory": str(data),
        "IndexDirectory": str(data),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "SyncStorageArea": True,
    }
    (data / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [system_tool("Orthanc"), str(data / "orthanc.json")]
    with _running("orthanc", command, port, folder) as found:
        yield found


@contextmanager
def _running(
    name: str, command: list[str | None], port: int, folder: Path
) -> Iterator[Server | None]:
    """Run a server; None where it is not installed."""
    if command[0] is None:
        yield None
        return
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            [item for item in command if item], env=ENVIRONMENT, stdout=log, stderr=log
        )
    try:
        _await(port, process)
        yield Server(name, port, process)
    finally:
        process.terminate()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise click.ClickException(f"a server did not start on port {port}")


def _await_warm(log: Path) -> None:
    """Wait until the worker has warmed up: it would compete for the processors."""
    deadline = time.monotonic() + _WARM_S
    while time.monotonic() < deadline:
        if b"workers_warm" in log.read_bytes():
            return
        time.sleep(0.1)
    raise click.ClickException("the node's worker did not warm up")


def free_port() -> int:
    """Return a TCP port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
