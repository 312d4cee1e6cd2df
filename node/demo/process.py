"""The node of the demo: ``aspects-node serve`` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from node.demo.address import HOST, NODE_AE, PEER_AE, DemoError, free_port
from node.state import SeriesRecord, State, read_records

_START_LIMIT_S: Final = 120.0
_STOP_LIMIT_S: Final = 20.0
_POLL_S: Final = 0.1
_ENDED: Final = frozenset(
    {State.DONE, State.REJECTED, State.FAILED, State.IGNORED, State.SUPERSEDED}
)

T = TypeVar("T")


@dataclass(slots=True)
class RunningNode:
    """``aspects-node serve`` in a process of its own.

    Attributes
    ----------
    process : subprocess.Popen
    port : int
    data : Path
        Its data folder.
    log : Path
        Its log, JSON lines.
    """

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of the log that tell of an event."""
        lines = []
        for text in self.log.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue  # half a line, or a library that writes to standard error
            if line.get("event") == name:
                lines.append(line)
        return lines

    def wait_for(self, condition: Callable[[], T | None], limit_s: float, what: str) -> T:
        """Return the first true value of a condition.

        Raises
        ------
        DemoError
            The node ended, or the limit was reached.
        """
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if value := condition():
                return value
            if (code := self.process.poll()) is not None:
                raise DemoError(f"the node ended (exit code {code}); its log is {self.log}")
            time.sleep(_POLL_S)
        raise DemoError(f"not within {limit_s:g} s: {what}; the node's log is {self.log}")

    def finished(self, series_uids: Sequence[str]) -> list[SeriesRecord] | None:
        """Return the records of these series once all have come to an end."""
        records = {record.series_uid: record for record in read_records(self.data / "series")}
        found = [records[uid] for uid in series_uids if uid in records]
        ended = [record for record in found if record.state in _ENDED]
        return ended if len(ended) == len(series_uids) else None


@contextmanager
def running_node(
    folder: Path, log: Path, atlas_folder: Path, peer_port: int
) -> Iterator[RunningNode]:
    """Run a node that is ready to compute, and stop it.

    Parameters
    ----------
    folder : Path
        For its configuration and data.
    log : Path
    atlas_folder : Path
    peer_port : int
        Where the sender of the images takes the results.

    Raises
    ------
    DemoError
        It did not start.
    """
    port, data, config = free_port(), folder / "data", folder / "aspects-node.toml"
    config.write_text(_configuration(port, data, atlas_folder, peer_port), encoding="utf-8")
    # a key in the environment would go before the file
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("ASPECTS_NODE_")
    }
    command = Path(sys.executable).with_name("aspects-node")
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [command, "serve", "--config", config],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
        )
    found = RunningNode(process=process, port=port, data=data, log=log)
    try:
        for event in ("listening", "workers_warm"):
            found.wait_for(partial(found.events, event), _START_LIMIT_S, "the node starts")
        yield found
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _configuration(port: int, data: Path, atlas_folder: Path, peer_port: int) -> str:
    # JSON's strings are TOML's
    return f"""\
ae_title = "{NODE_AE}"
host = "{HOST}"
port = {port}
data_folder = {json.dumps(str(data))}
atlas_folder = {json.dumps(str(atlas_folder))}
min_free_disk = 0

[web]
enabled = false

[[peers]]
name = "pacs"
ae_title = "{PEER_AE}"
host = "{HOST}"
port = {peer_port}
"""
