"""Kill the node at random moments while series flow; count what was lost.

Two dcmtk senders send small series without end and send again what was not
acknowledged; an archive in this process takes the results. Meanwhile the node,
or one of its workers, is killed with SIGKILL and started again. In the end the
node is left alone until every series came to an end.

Acknowledged means: dcmtk saw Success for the instance. Such an instance is lost
unless its series' last generation holds it, is DONE, and the archive has that
generation's objects. A duplicate is a result UID that came with two contents.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pynetdicom import AE, evt

from node.incoming import arrivals
from node.presentation import accepted_contexts
from node.state import RESULTS, Generation, SeriesRecord, State, read_records, short_hash
from tests.faults.nursery import ForkedNode, Nursery
from tests.node.series import write_series
from tests.peers import ENVIRONMENT, NodeProcess, free_port, peer, tool, wait_for

DOUBLE = "tests.node.double:compute"
SENDERS = 2
IMAGES = 4
FINAL = frozenset({State.DONE, State.REJECTED, State.FAILED, State.IGNORED, State.SUPERSEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to."""

    kills: int
    acknowledged: int
    lost: int
    duplicate_uids: int
    unfinished: int

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicate_uids or self.unfinished)


class Archive:
    """Takes results and remembers what each UID came with."""

    def __init__(self) -> None:
        self.port = free_port()
        self.contents: dict[str, set[str]] = defaultdict(set)
        ae = AE(ae_title="PACS")
        ae.supported_contexts = accepted_contexts()
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_store)]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def _on_store(self, event: evt.Event) -> int:
        content = hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest()
        self.contents[str(event.request.AffectedSOPInstanceUID)].add(content)
        return 0x0000

    def stop(self) -> None:
        self._server.shutdown()


class Sender(threading.Thread):
    """Sends one series after the other; keeps what was acknowledged."""

    def __init__(self, name: str, folder: Path, port: int, seed: int) -> None:
        super().__init__(name=name)
        self._folder, self._port = folder, port
        self._rng = random.Random(seed)
        self._stop_asked = threading.Event()
        self.acknowledged: dict[str, set[str]] = defaultdict(set)
        """By SeriesInstanceUID: the SOP Instance UIDs."""

    def run(self) -> None:
        number = 0
        while not self._stop_asked.wait(self._rng.uniform(0.0, 4.0)):
            uid, files = write_series(self._folder, f"{self.name}-{number}", IMAGES, size=32)
            self._send_all(uid, files)
            number += 1

    def _send_all(self, uid: str, files: list[Path]) -> None:
        """Send until all is acknowledged, as a modality does."""
        uids = [str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files]
        while len(self.acknowledged[uid]) < len(files):
            self.acknowledged[uid].update(uids[: self._send(files)])
            if self._stop_asked.wait(0.1) and not self.acknowledged[uid]:
                return
        for path in files:
            path.unlink()

    def _send(self, files: list[Path]) -> int:
        """Return how many of the files, from the first, were acknowledged."""
        done = subprocess.run(
            [tool("storescu") or "storescu", "-v", "-to", "5", "-ta", "10", "-td", "10",
             "-aec", "ASPECTS", "127.0.0.1", str(self._port), *map(str, files)],
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        return done.stdout.count("Received Store Response (Success)")

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


class Executioner:
    """Kills and restarts a node."""

    def __init__(self, node: NodeProcess, seed: int) -> None:
        self._node = node
        self._rng = random.Random(seed)
        self.kills = 0

    def strike(self) -> None:
        """Kill the node or a worker of it at a random moment."""
        pause = threading.Event()
        if self._rng.random() < 0.25:
            pause.wait(self._rng.uniform(0.0, 0.5))
            self._kill_worker()
            return
        pause.wait(self._rng.expovariate(2.0))
        self._node.kill()
        self.kills += 1
        # one in four dies again before it listens
        self._node.start(wait=self._rng.random() > 0.25)

    def _kill_worker(self) -> None:
        for pid in children(self._node.pid):
            if b"spawn_main" in command_of(pid):
                os.kill(pid, 9)
                self.kills += 1
                return


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(item) for item in path.read_text().split()]
        except OSError:
            continue
    return found


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def run_kills(
    folder: Path,
    kills: int,
    *,
    atlas_folder: Path,
    seed: int = 0,
    limit_s: float = 300.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run until so many kills were done and all series came to an end.

    Parameters
    ----------
    folder : Path
        Takes the node's data and the senders' files.
    kills : int
    atlas_folder : Path
    seed : int
        Of the moments; the rest of the machine is random enough.
    limit_s : float
        For the series to come to an end after the last kill.
    progress : callable
        Is told once in fifty kills.
    """
    archive = Archive()
    config = {
        "atlas_folder": str(atlas_folder),
        "default_peer": "pacs",
        "compute_attempts": 10,
        "delivery": {"first_delay_s": 0.2, "longest_delay_s": 1.0},
        "peers": [peer("pacs", "PACS", archive.port)],
    }
    node = ForkedNode(folder / "node", config, DOUBLE)
    node.nursery = Nursery()
    node.start()
    senders = [
        Sender(f"sender{n}", folder / f"sender{n}", node.port, seed + n) for n in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    try:
        _strike_all(Executioner(node, seed), kills, progress)
        if not node.events("listening") or not node.process or node.process.poll() is not None:
            node.start()
        for sender in senders:
            sender.stop()
        _wait_for_the_end(node, limit_s)
    finally:
        for sender in senders:
            sender.stop()
        node.stop()
        node.nursery.stop()
        archive.stop()
    return judge(node.data, merged(senders), archive.contents, kills)


def _strike_all(executioner: Executioner, kills: int, progress: Callable[[str], None]) -> None:
    start = time.monotonic()
    told = 0
    while executioner.kills < kills:
        executioner.strike()
        if executioner.kills >= told + 50:
            told = executioner.kills
            progress(f"{told} kills, {time.monotonic() - start:.0f} s")


def merged(senders: list[Sender]) -> dict[str, set[str]]:
    return {uid: uids for sender in senders for uid, uids in sender.acknowledged.items() if uids}


def _wait_for_the_end(node: NodeProcess, limit_s: float) -> None:
    def is_over() -> bool:
        return not arrivals(node.data / "incoming") and all(
            record.state in FINAL for record in read_records(node.data / "series")
        )

    try:
        wait_for(is_over, limit_s, "all series came to an end")
    except AssertionError as error:
        sys.stderr.write(f"{error}\n")  # the report counts them


def judge(
    data: Path, acknowledged: dict[str, set[str]], contents: dict[str, set[str]], kills: int
) -> Report:
    """Compare what the senders, the node and the archive know."""
    records = {record.series_uid: record for record in read_records(data / "series")}
    lost = sum(
        len(uids - delivered_images(data, records.get(series), contents))
        for series, uids in acknowledged.items()
    )
    return Report(
        kills=kills,
        acknowledged=sum(map(len, acknowledged.values())),
        lost=lost,
        duplicate_uids=sum(len(item) > 1 for item in contents.values()),
        unfinished=sum(record.state not in FINAL for record in records.values()),
    )


def delivered_images(
    data: Path, record: SeriesRecord | None, contents: dict[str, set[str]]
) -> set[str]:
    """Return the SOP Instance UIDs whose results the archive has."""
    latest = None if record is None else record.latest
    if record is None or latest is None or latest.state is not State.DONE:
        return set()
    folder = data / "series" / record.key
    if not _is_at(contents, folder, latest):
        return set()
    found = [
        str(dcmread(folder / "images" / name, stop_before_pixels=True).SOPInstanceUID)
        for name in latest.images
    ]
    assert [f"{short_hash(uid.encode())}.dcm" for uid in found] == latest.images
    return set(found)


def _is_at(contents: dict[str, set[str]], folder: Path, latest: Generation) -> bool:
    results = folder / RESULTS / f"{latest.number:04d}"
    uids = [str(dcmread(results / name).SOPInstanceUID) for name in latest.objects]
    return bool(uids) and all(contents.get(uid) for uid in uids)


def last_line(report: Report) -> str:
    return json.dumps(asdict(report))
