"""Real peers for tests: dcmtk, Orthanc and the node itself, each its own process.

Everything listens on loopback, on a port that was free, in a temporary folder.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydicom import Dataset, dcmread

from node.commands.shared import system_tool
from node.commands.status import summary
from node.state import read_records

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY / "../shared/data"
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": str(REPOSITORY)}
POLL_S = 0.02

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | None], limit_s: float = 20.0, what: str = "condition"
) -> T:
    """Return the first true value of a condition; fail when the limit is reached."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(POLL_S)
    raise AssertionError(f"not within {limit_s:g} s: {what}")


def free_port() -> int:
    """Return a TCP port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


tool = system_tool
"""Path of a real system tool, not of pynetdicom's script of that name."""


def run(name: str, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a system tool to its end."""
    return subprocess.run(
        [tool(name) or name, *map(str, arguments)],
        env=ENVIRONMENT,
        check=check,
        capture_output=True,
        text=True,
        timeout=50,
    )


def storescu(
    port: int, files: Iterable[Path], *options: str, aet: str = "SCANNER", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Send files to a port of this machine with dcmtk's storescu."""
    return run(
        "storescu", "-aet", aet, "-aec", "ASPECTS", *options, "127.0.0.1", str(port),
        *map(str, files), check=check,
    )  # fmt: skip


class Peer:
    """A process that listens on a port."""

    def __init__(self, arguments: Sequence[str | Path], port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self._arguments = [str(item) for item in arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments, env=ENVIRONMENT, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        if wait:
            wait_for(self._is_up, 30.0, f"{self._arguments[0]} listens: {self.log}")

    def _is_up(self) -> bool:
        assert self.process is not None
        if (code := self.process.poll()) is not None:
            raise AssertionError(f"ended with {code}: {self.log.read_text()}")
        return is_listening(self.port)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self, number: int = signal.SIGTERM, limit_s: float = 20.0) -> int:
        """Send a signal and return the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.process = None
        return code

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.stop(signal.SIGKILL)


class StoreScp(Peer):
    """dcmtk's storescp; by default made to take whatever it is offered."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        options: Sequence[str] = (),
        takes: Sequence[str] = ("--promiscuous",),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder / "received"
        self.folder.mkdir(exist_ok=True)
        port = port or free_port()
        super().__init__(
            [tool("storescp") or "storescp", "-aet", "PACS", *takes, "--fork",
             *options, "-od", self.folder, "-uf", str(port)],
            port,
            folder / "storescp.log",
        )  # fmt: skip

    def received(self) -> list[Dataset]:
        """Return what was stored, by SOP Instance UID."""
        # storescp has no temporary name: a file may be half written
        try:
            found = [dcmread(path) for path in self.folder.iterdir()]
        except Exception:  # noqa: BLE001 - whatever a half file makes of it
            return []
        return sorted(found, key=lambda item: str(item.SOPInstanceUID))

    def wait_for(self, count: int, limit_s: float = 20.0) -> list[Dataset]:
        """Wait until at least so many objects were stored, and return them."""
        return wait_for(
            lambda: found if len(found := self.received()) >= count else None,
            limit_s,
            f"{count} objects at the PACS, there are {len(list(self.folder.iterdir()))}",
        )


class Orthanc(Peer):
    """Orthanc with an index in a temporary folder.

    Parameters
    ----------
    folder : Path
    modalities : mapping of str to (str, int)
        AE title and port of each peer, by its name.
    dicom_web : bool
        Whether it speaks DICOMweb.
    **more
        Further entries of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        modalities: Mapping[str, tuple[str, int]],
        *,
        dicom_web: bool = False,
        **more: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.http = free_port()
        plugins = ["/usr/share/orthanc/plugins"] if dicom_web else []
        port = free_port()
        (folder / "orthanc.json").write_text(
            json.dumps(
                {
                    "StorageDirectory": str(folder),
                    "IndexDirectory": str(folder),
                    "HttpPort": self.http,
                    "DicomPort": port,
                    "DicomAet": "ORTHANC",
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomCheckCalledAet": False,
                    "DicomModalities": {
                        name: [aet, "127.0.0.1", number]
                        for name, (aet, number) in modalities.items()
                    },
                    "Plugins": plugins,
                    **more,
                }
            )
        )
        super().__init__(
            [tool("Orthanc") or "Orthanc", folder / "orthanc.json"], port, folder / "orthanc.log"
        )

    def _is_up(self) -> bool:
        return super()._is_up() and is_listening(self.http)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=20) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=body)
        with urllib.request.urlopen(request, timeout=40) as answer:
            return json.load(answer)

    def add(self, files: Iterable[Path]) -> None:
        for path in files:
            self.post("/instances", path.read_bytes())

    def modalities(self) -> list[str]:
        """Return the modality of each series, sorted."""
        return sorted(
            self.get(f"/series/{key}")["MainDicomTags"]["Modality"] for key in self.get("/series")
        )


class NodeProcess(Peer):
    """``aspects-node serve`` with a configuration of its own."""

    def __init__(self, folder: Path, config: Mapping[str, Any], compute: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        port = int(config.get("port", 0)) or free_port()
        self.config_file = folder / "node.toml"
        self.data = folder / "data"
        values = {
            "port": port,
            "data_folder": str(self.data),
            "quiet_time_s": 0.3,
            "incomplete_quiet_time_s": 0.3,
            "min_free_disk": 0,
            "accept_unknown_callers": True,
            "web": {"enabled": False},
            **config,
        }
        self.config_file.write_text(to_toml(values))
        command = [aspects_node(), "serve", "--config", str(self.config_file)]
        if compute:
            command += ["--compute", compute]
        super().__init__(command, port, folder / "node.log")

    def events(self, name: str, **match: object) -> list[dict[str, Any]]:
        """Return the log lines of an event whose values match."""
        lines = []
        for text in self.log.read_text().splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue
            if line.get("event") == name and all(line.get(k) == v for k, v in match.items()):
                lines.append(line)
        return lines

    def wait_for_event(self, name: str, limit_s: float = 20.0, **match: object) -> dict[str, Any]:
        """Wait until an event was logged, and return its first line."""
        found = wait_for(
            lambda: self.events(name, **match), limit_s, f"event {name} {match} in {self.log}"
        )
        return found[0]

    def start(self, *, wait: bool = True) -> None:
        before = len(self.events("listening")) if self.log.exists() else 0
        super().start(wait=wait)
        if wait:
            wait_for(lambda: len(self.events("listening")) > before, 30.0, "the node listens")

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run another command with the node's configuration."""
        return subprocess.run(
            [aspects_node(), *arguments, "--config", str(self.config_file)], input=stdin,
            env=ENVIRONMENT, capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip

    def status(self) -> list[dict[str, Any]]:
        """Return what ``aspects-node status --json`` prints, without starting it."""
        folder = self.data / "series"
        return [summary(record, folder / record.key) for record in read_records(folder)]

    def states(self) -> dict[str, str]:
        """Return the state of each series, read as the status command reads it."""
        return {row["series"]: row["state"] for row in self.status()}

    def wait_for_state(self, series_uid: str, state: str, limit_s: float = 20.0) -> dict[str, Any]:
        """Wait until a series is in a state, and return its row of the status."""

        def row() -> dict[str, Any] | None:
            for item in self.status():
                if item["series"] == series_uid and item["state"] == state:
                    return item
            return None

        return wait_for(row, limit_s, f"series {series_uid} is {state}, see {self.log}")


def aspects_node() -> str:
    """Return the path of the command under test."""
    return str(Path(sys.executable).parent / "aspects-node")


def peer(name: str, ae_title: str, port: int, **more: Any) -> dict[str, Any]:
    """Return a table of ``[[peers]]``."""
    return {"name": name, "ae_title": ae_title, "host": "127.0.0.1", "port": port, **more}


def to_toml(values: Mapping[str, Any]) -> str:
    """Write plain values as TOML: scalars, lists, tables and lists of tables."""
    tables = [(key, item) for key, item in values.items() if isinstance(item, Mapping)]
    lists = [(key, item) for key, item in values.items() if _is_list_of_tables(item)]
    taken = {key for key, _ in [*tables, *lists]}
    lines = [f"{key} = {json.dumps(item)}" for key, item in values.items() if key not in taken]
    for key, table in tables:
        lines += [f"[{key}]", to_toml(table)]
    for key, items in lists:
        for item in items:
            lines += [f"[[{key}]]", to_toml(item)]
    return "\n".join(lines) + "\n"


def _is_list_of_tables(item: object) -> bool:
    return isinstance(item, list) and bool(item) and isinstance(item[0], Mapping)
