"""Storage commitment for what modalities sent: answers from what is on disk.

A request is written down, acknowledged, and answered on an association of our
own to the peer; where that fails it is tried again, after a restart too.

References
----------
DICOM PS3.4, J "Storage Commitment Service Class"; PS3.3, C.14 "Storage
Commitment Module".
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset
from pynetdicom import evt

from node import scu
from node.config import NodeConfig
from node.delivery import delay_s
from node.errors import ConfigError, PeerError
from node.files import write_durably
from node.heads import read_head
from node.inbox import UNREADABLE
from node.incoming import arrivals
from node.state import IMAGES, now_s, short_hash

LOG = logging.getLogger(__name__)

NO_SUCH_INSTANCE: Final = 0x0112
"""Failure Reason (0008,1197): "No such object instance"."""
CLASS_CONFLICT: Final = 0x0119
"""Failure Reason (0008,1197): "Class / Instance conflict"."""

_SUCCESS: Final = 0x0000
_PROCESSING_FAILURE: Final = 0x0110
_NO_SUCH_ACTION: Final = 0x0123
_REQUEST: Final = 1
_ALL_STORED: Final = 1
_SOME_MISSING: Final = 2
_LOOK_S: Final = 0.5


class CommitmentScp:
    """Takes requests for storage commitment and answers them.

    Parameters
    ----------
    config : NodeConfig
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._folder = config.data_folder / "commitments"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._series = config.data_folder / "series"
        self._next: dict[Path, tuple[int, float]] = {}
        self._wake = threading.Event()
        self._is_stopping = False
        self._rng = random.Random()  # noqa: S311 - jitter is no secret
        self._thread = threading.Thread(target=self._run, name="commitment", daemon=True)

    def start(self) -> None:
        """Begin to answer; what an earlier run left, too."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; requests without an answer are taken up at the next start."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        """Write a request down; the acknowledgement says only that it came."""
        if event.action_type != _REQUEST:
            return _NO_SUCH_ACTION, None
        peer = self._config.peer_of(event.assoc.requestor.ae_title)
        wanted = event.action_information
        if peer is None or "TransactionUID" not in wanted:
            # without an address there is nobody to answer
            return _PROCESSING_FAILURE, None
        request = {
            "peer": peer.name,
            "since": now_s(),
            "transaction": str(wanted.TransactionUID),
            "objects": [
                [str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)]
                for item in wanted.get("ReferencedSOPSequence", [])
            ],
        }
        name = short_hash(f"{peer.name} {request['transaction']}".encode())
        try:
            write_durably(self._folder / f"{name}.json", json.dumps(request).encode())
        except OSError:
            LOG.exception("commitment_not_kept", extra={"peer": peer.name})
            return _PROCESSING_FAILURE, None
        self._wake.set()
        return _SUCCESS, None

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            for path in sorted(self._folder.glob("*.json")):
                attempts, due = self._next.get(path, (0, 0.0))
                if due <= now_s() and not self._is_stopping:
                    self._answer(path, attempts + 1)

    def _answer(self, path: Path, attempt: int) -> None:
        request = json.loads(path.read_bytes())
        extra = {"peer": request["peer"], "transaction": request["transaction"]}
        report, event_type = self._report(request)
        try:
            scu.report_commitment(
                self._config, self._config.peer(request["peer"]), report, event_type
            )
        except (PeerError, ConfigError) as error:
            settings = self._config.delivery
            delay = delay_s(settings, attempt, self._rng)
            self._next[path] = (attempt, now_s() + delay)
            LOG.warning("commitment_not_reported", extra={**extra, "reason": str(error)})
            if now_s() + delay <= request["since"] + settings.give_up_after_s:
                return
        else:
            missing = len(report.get("FailedSOPSequence", []))
            LOG.info("commitment_reported", extra={**extra, "missing": missing})
        path.unlink()
        self._next.pop(path, None)

    def _report(self, request: dict[str, Any]) -> tuple[Dataset, int]:
        report = Dataset()
        report.TransactionUID = request["transaction"]
        kept, failed = [], []
        for sop_class, instance in request["objects"]:
            item = Dataset()
            item.ReferencedSOPClassUID = sop_class
            item.ReferencedSOPInstanceUID = instance
            if reason := self._missing(sop_class, instance):
                item.FailureReason = reason
                failed.append(item)
            else:
                kept.append(item)
        if kept:
            report.ReferencedSOPSequence = kept
        if failed:
            report.FailedSOPSequence = failed
        return report, _SOME_MISSING if failed else _ALL_STORED

    def _missing(self, sop_class: str, instance: str) -> int:
        """Return the failure reason of an object; 0 where it is on disk."""
        for path in self._files(instance):
            try:
                head = read_head(path, ["SOPClassUID", "SOPInstanceUID"])
            except UNREADABLE:
                continue
            if head.get("SOPInstanceUID") == instance:
                return 0 if head.get("SOPClassUID") == sop_class else CLASS_CONFLICT
        return NO_SUCH_INSTANCE

    def _files(self, instance: str) -> Iterator[Path]:
        yield from self._series.glob(f"*/{IMAGES}/{short_hash(instance.encode())}.dcm")
        yield from arrivals(self._config.data_folder / "incoming")
