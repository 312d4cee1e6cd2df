"""A storage peer in our own process: it stands for the PACS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom import Dataset
from pynetdicom import AE, StoragePresentationContexts, evt

from node.demo.address import HOST, PEER_AE, free_port

_SUCCESS: Final = 0x0000


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that the storage peer received.

    Attributes
    ----------
    dataset : pydicom.Dataset
        With its file meta information.
    at : float
        Seconds since the epoch at which it was stored.
    """

    dataset: Dataset
    at: float

    def refers_to(self, series_uid: str) -> bool:
        """Tell whether the object names a series as its source."""
        return any(
            element.keyword == "SeriesInstanceUID" and str(element.value) == series_uid
            for element in self.dataset.iterall()
        )


@dataclass(slots=True)
class StoragePeer:
    """Stands for the PACS: takes every storage class and keeps it in memory."""

    port: int
    _arrivals: list[Arrival] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arrivals(self) -> tuple[Arrival, ...]:
        """Return what was received, in order."""
        with self._lock:
            return tuple(self._arrivals)

    def on_store(self, event: evt.Event) -> int:
        """Keep one object."""
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        with self._lock:
            self._arrivals.append(Arrival(dataset, time.time()))
        return _SUCCESS


@contextmanager
def storage_peer() -> Iterator[StoragePeer]:
    """Run a storage SCP on a free port."""
    peer = StoragePeer(port=free_port())
    ae = AE(ae_title=PEER_AE)
    ae.supported_contexts = StoragePresentationContexts
    server: Any = ae.start_server(
        (HOST, peer.port), block=False, evt_handlers=[(evt.EVT_C_STORE, peer.on_store)]
    )
    try:
        yield peer
    finally:
        server.shutdown()
