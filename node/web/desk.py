"""What pages and REST API work with: reads the ledger, leaves wishes, asks peers."""

from __future__ import annotations

import json
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from node import requests
from node.audit_message import Happened
from node.config import NodeConfig
from node.errors import ConfigError, PeerError
from node.health import Readiness
from node.state import Generation, Ledger, SeriesRecord, State
from node.web.pictures import Drawing, Pictures
from node.web.views import Page, Selection, list_series
from node.weights import listed_weights

_LIBRARIES: Final = (
    "dbos", "fastapi", "highdicom", "numpy", "picsl_greedy", "pydicom", "pynetdicom", "torch",
)  # fmt: skip
_SEGMENTATIONS: Final = ("seg.dcm", "seg-labelmap.dcm")


class Changes:
    """Counts the changes of the ledger, so that pages know what to load again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._changed: dict[str, int] = {}

    def note(self, before: SeriesRecord | None, after: SeriesRecord) -> None:
        """Listen to a `node.state.Ledger`."""
        del before
        with self._lock:
            self._number += 1
            self._changed.pop(after.key, None)
            self._changed[after.key] = self._number

    @property
    def number(self) -> int:
        """How many changes there were."""
        return self._number

    def since(self, number: int) -> list[str]:
        """Return the keys of the series that changed after a change, the newest first."""
        found = []
        with self._lock:
            for key, at in reversed(self._changed.items()):
                if at <= number:
                    break
                found.append(key)
        return found


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Everything a page needs.

    Attributes
    ----------
    config : NodeConfig
    ledger : Ledger
    atlas_folder : Path
    readiness : callable
    echo : callable
        ``echo(config, peer)`` raises PeerError.
    account : callable
        Takes note of who saw what, for the audit trail.
    worker_pids : callable
    changes : Changes
    pictures : Pictures
    started : float
        Seconds since the epoch.
    """

    config: NodeConfig
    ledger: Ledger
    atlas_folder: Path
    readiness: Callable[[], Readiness]
    echo: Callable[..., None]
    account: Callable[[Happened], None]
    worker_pids: Callable[[], Iterable[int]] = tuple
    changes: Changes = field(default_factory=Changes)
    pictures: Pictures = field(default_factory=Pictures)
    started: float = field(default_factory=time.time)

    def page(self, selection: Selection) -> Page:
        """Return a part of the worklist."""
        # records are replaced, not changed: only the list of them needs the lock
        page = list_series(self.ledger.survey(tuple), selection)
        for row in page.series:
            if row.state == State.RECEIVING:
                row.images = len(list(self.ledger.images(row.key).iterdir()))
        return page

    def record(self, key: str) -> SeriesRecord | None:
        """Return a copy of a series' record, or None."""
        return self.ledger.get(key)

    def ask(self, record: SeriesRecord, verb: str, argument: str, by: str) -> str | None:
        """Ask the node for something; return why it cannot be, or None."""
        why = requests.refusal(record, verb, argument)
        if why is None:
            requests.request(
                self.config.data_folder, verb, record.series_uid, argument, by=by or "web"
            )
        return why

    def refuses_levels(self, record: SeriesRecord) -> str | None:
        """Say why no slices can be chosen for a series now; None where they can."""
        return requests.refusal(record, "levels", "0,1")

    def result(self, record: SeriesRecord, generation: Generation) -> dict[str, Any] | None:
        """Return ``result.json`` of a generation, or None."""
        path = self.ledger.results(record.key, generation.number) / "result.json"
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return document

    def drawing(self, record: SeriesRecord, generation: Generation) -> Drawing:
        """Return what to draw the slices of a generation from."""
        result = self.result(record, generation) or {}
        levels = result.get("levels", {})
        named = [levels.get(name, {}).get("index") for name in ("ganglionic", "supraganglionic")]
        return Drawing(
            folder=self.ledger.images(record.key),
            names=tuple(generation.images),
            levels=tuple(index for index in named if isinstance(index, int)),
        )

    def segmentation(self, record: SeriesRecord, generation: Generation) -> Path | None:
        """Return the segmentation among the results, or None."""
        folder = self.ledger.results(record.key, generation.number)
        return next((folder / name for name in _SEGMENTATIONS if (folder / name).is_file()), None)

    def ask_peer(self, name: str) -> tuple[bool, str, float]:
        """Ask a peer whether it is there.

        Returns
        -------
        tuple
            Whether it answered, what went wrong, seconds.

        Raises
        ------
        ConfigError
            There is no such peer.
        """
        peer = self.config.peer(name)
        start = time.monotonic()
        try:
            self.echo(self.config, peer)
        except (PeerError, ConfigError) as error:
            return False, str(error), time.monotonic() - start
        return True, "", time.monotonic() - start

    def free_disk(self) -> int:
        """Return the free bytes where the data folder lies."""
        return shutil.disk_usage(self.config.data_folder).free

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of the node and of what shapes its results."""
        found = {"aspects-node": version("aspects-node"), "Python": platform.python_version()}
        return found | {name: version(name) for name in _LIBRARIES}

    @cached_property
    def weights(self) -> dict[str, str]:
        """SHA-256 of each file of weights, as its model card names it."""
        return listed_weights()
