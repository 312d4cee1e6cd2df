"""The objects of one STOW-RS request, each from its part to the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread

from node.errors import StorageError
from node.file_meta import file_meta
from node.heads import read_head
from node.inbox import Inbox
from node.incoming import Incoming
from node.status import StoreStatus

_HEAD: Final = 144
"""Preamble, prefix and the element that counts the File Meta Information."""
_LONGEST_META: Final = 1 << 16
_TAGS: Final = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOutcome:
    """What became of one part.

    Attributes
    ----------
    status : int
        0x0000, or why it was not kept.
    sop_class, sop_instance : str
        Empty where they cannot be read.
    """

    status: int
    sop_class: str = ""
    sop_instance: str = ""


class StowParts:
    """Keeps the parts of a request.

    Parameters
    ----------
    inbox : Inbox
    source : str
        AE title of the sender, for the File Meta Information.
    study : str
        The study that all have to belong to; empty: any.
    largest : int
        Bytes of the largest object.
    kept : callable
        ``kept(path)`` hears of each object that is on disk.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        source: str,
        study: str,
        largest: int,
        kept: Callable[[Path], None],
    ) -> None:
        self.inbox = inbox
        self.source = source
        self.study = study
        self.largest = largest
        self.kept = kept
        self.outcomes: list[PartOutcome] = []
        self._open: StowPart | None = None

    def begin(self) -> StowPart:
        """Begin the next part."""
        self._open = StowPart(self)
        return self._open

    def close(self) -> None:
        """Leave nothing of a part that did not come to its end."""
        if self._open is not None:
            self._open.drop()


class StowPart:
    """One part: a DICOM file as the client encoded it, under a head of ours.

    Parameters
    ----------
    request : StowParts
    """

    def __init__(self, request: StowParts) -> None:
        self._request = request
        self._head = bytearray()
        self._size = 0
        self._incoming: Incoming | None = None
        self._meta = Dataset()
        self._status: int = StoreStatus.SUCCESS

    def write(self, data: bytes) -> None:
        """Take some of the file."""
        self._size += len(data)
        if self._size > self._request.largest:
            self._refuse(StoreStatus.OUT_OF_RESOURCES)
        if self._status != StoreStatus.SUCCESS:
            return
        try:
            if self._incoming is None:
                self._begin(data)
            else:
                self._incoming.write(data)
        except StorageError:
            self._refuse(StoreStatus.OUT_OF_RESOURCES)

    def _begin(self, data: bytes) -> None:
        """Collect the client's head; put ours in its place."""
        self._head += data
        if len(self._head) < _HEAD:
            return
        end = _HEAD + int.from_bytes(self._head[140:_HEAD], "little")
        # PS3.10, 7.1: the prefix, then (0002,0000) UL, four bytes long
        is_file = self._head[128:140] == b"DICM\x02\x00\x00\x00UL\x04\x00"
        if not is_file or end > _LONGEST_META:
            self._refuse(StoreStatus.CANNOT_UNDERSTAND)
        elif len(self._head) >= end:
            self._open(bytes(self._head[:end]), bytes(self._head[end:]))

    def _open(self, head: bytes, rest: bytes) -> None:
        try:
            self._meta = dcmread(BytesIO(head)).file_meta
            meta = file_meta(
                sop_class=str(self._meta.MediaStorageSOPClassUID),
                sop_instance=str(self._meta.MediaStorageSOPInstanceUID),
                transfer_syntax=str(self._meta.TransferSyntaxUID),
                source_ae_title=self._request.source,
            )
        # a broken head makes the reader fail in many ways
        except Exception:  # noqa: BLE001
            self._refuse(StoreStatus.CANNOT_UNDERSTAND)
            return
        self._incoming = self._request.inbox.open()
        self._incoming.write(meta)
        self._incoming.write(rest)

    def end(self) -> None:
        """Make the object durable, and note what became of it."""
        found = self._meta
        if self._status == StoreStatus.SUCCESS and self._incoming is None:
            self._status = StoreStatus.CANNOT_UNDERSTAND
        if self._status == StoreStatus.SUCCESS and self._incoming is not None:
            found = self._keep(self._incoming)
        self._incoming = None
        self._request.outcomes.append(
            PartOutcome(
                status=int(self._status),
                sop_class=_uid(found, "SOPClassUID", "MediaStorageSOPClassUID"),
                sop_instance=_uid(found, "SOPInstanceUID", "MediaStorageSOPInstanceUID"),
            )
        )

    def _keep(self, incoming: Incoming) -> Dataset:
        try:
            path = incoming.keep()
        except StorageError:
            self._status = StoreStatus.OUT_OF_RESOURCES
            return self._meta
        try:
            found = read_head(path, _TAGS)
            is_wanted = self._request.study in {"", str(found.StudyInstanceUID)}
            is_whole = bool(found.SOPClassUID and found.SOPInstanceUID)
        # what a client sends may be broken in many ways
        except Exception:  # noqa: BLE001
            is_wanted = is_whole = False
            found = self._meta
        if is_wanted and is_whole:
            self._request.kept(path)
        else:
            path.unlink()  # it was never said to be stored
            self._status = StoreStatus.CANNOT_UNDERSTAND
        return found

    def _refuse(self, status: StoreStatus) -> None:
        self._status = status
        self.drop()

    def drop(self) -> None:
        """Leave nothing of it."""
        if self._incoming is not None:
            self._incoming.drop()
            self._incoming = None


def _uid(found: Dataset, *keywords: str) -> str:
    return next((str(found.get(keyword)) for keyword in keywords if found.get(keyword)), "")
