"""The short way of a C-STORE request: from the socket to the disk, and back.

The library reads a PDU, decodes it, queues it, joins the pieces in memory and
hands them to another thread that polls. Here the thread that waits for the
socket writes what comes straight to the file, makes it durable and answers.
Whatever is not a plain C-STORE request goes to the library as it came.

References
----------
DICOM PS3.8, 9.3.5 "P-DATA-TF PDU Structure"; PS3.7, 9.3.1 "C-STORE Protocol".
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from node.command_set import Fragment, StoreRequest, fragments, store_request, store_response
from node.errors import StorageError
from node.file_meta import file_meta
from node.inbox import Inbox
from node.incoming import Incoming
from node.status import StoreStatus

LOG = logging.getLogger(__name__)

_P_DATA: Final = b"\x04"
_HEADER: Final = 6
_MIN_LIMIT: Final = 1 << 20
"""An association request with many contexts takes some hundred kilobytes."""
_LINGER_S: Final = 0.05
_LONGEST_RESPONSE: Final = 300
_ESTABLISHED: Final = "Sta6"
_CLOSED: Final = "Evt17"
_INVALID: Final = "Evt19"

Kept = Callable[[Path], None]


class _ProtocolError(Exception):
    """The peer sent what may not come here."""


class _InterruptedError(Exception):
    """Another PDU came in the middle of an object.

    Parameters
    ----------
    header : bytes
        What was read of it.
    """

    def __init__(self, header: bytes) -> None:
        super().__init__()
        self.header = header


class Wire:
    """Reads from a socket in large pieces; what was read can be put back.

    Parameters
    ----------
    connection : socket.socket
        With a time-out; an SSLSocket too.
    limit : int
        Bytes of the largest PDU.
    """

    def __init__(self, connection: socket.socket, limit: int) -> None:
        self._socket = connection
        self.limit = max(limit, _MIN_LIMIT)
        self._back = bytearray()
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def recv(self, count: int) -> bytearray:
        """Read so many bytes, or fewer where the peer closes the connection.

        Raises
        ------
        OSError
            They did not come in time, or are more than a PDU may have.
        """
        if count > self.limit:
            raise OSError("the PDU is too long")
        data = bytearray(count)
        done = self._fill(memoryview(data))
        del data[done:]
        return data

    def view(self, count: int) -> memoryview:
        """Read so many bytes into a buffer that the next call uses again.

        Raises
        ------
        OSError
            They did not come.
        """
        if len(self._buffer) < count:
            self._buffer = bytearray(count)
        view = memoryview(self._buffer)[:count]
        if self._fill(view) < count:
            raise OSError("the peer closed the connection in a PDU")
        return view

    def _fill(self, view: memoryview) -> int:
        done = min(len(self._back), len(view))
        if done:
            view[:done] = self._back[:done]
            del self._back[:done]
        while done < len(view) and (got := self._socket.recv_into(view[done:])):
            done += got
        return done

    def put_back(self, data: bytes | memoryview) -> None:
        """Give back what was read, to be read next."""
        self._back[:0] = data

    def send(self, data: bytes) -> None:
        """Send it all.

        Raises
        ------
        OSError
            The peer is gone, or does not read.
        """
        self._socket.sendall(data)

    def is_ready(self, limit_s: float) -> bool:
        """Tell whether something can be read, at the latest after this time."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(self._poll.poll(1000 * limit_s))


class Lane:
    """Reads for one association in the place of the library.

    Parameters
    ----------
    association : pynetdicom.association.Association
        An acceptor, connected.
    wire : Wire
    inbox : Inbox
    max_object : int
        Bytes of the largest object that is taken.
    kept : callable
        Is told the path of each object that was acknowledged.
    """

    def __init__(
        self, association: Any, wire: Wire, inbox: Inbox, max_object: int, kept: Kept
    ) -> None:
        self._association, self._dul = association, association.dul
        self._wire, self._inbox = wire, inbox
        self._max_object, self._kept = max_object, kept
        self._read_by_library = self._dul._read_pdu_data
        self._decode_by_library = association.dimse.receive_primitive

    def read(self) -> None:
        """Read one PDU, or as many C-STORE requests as come in a row."""
        checkpoint = self._association._reactor_checkpoint
        try:
            while self._store_one():
                checkpoint.clear()  # the library's other thread would poll meanwhile
                self._dul._idle_timer.restart()
                if self._is_wanted() or not self._wire.is_ready(_LINGER_S):
                    break
        except _InterruptedError as interruption:
            self._let_library_read(interruption.header)
        except _ProtocolError:
            self._dul.event_queue.put(_INVALID)
        except OSError:
            self._dul.event_queue.put(_CLOSED)
        finally:
            checkpoint.set()

    def decode(self, primitive: Any) -> None:
        """Decode a message piece as the library does, but survive what it cannot read."""
        try:
            self._decode_by_library(primitive)
        except Exception as error:  # noqa: BLE001 - its thread would end, the connection stay
            LOG.warning("malformed_message", extra={"error": type(error).__name__})
            self._dul.event_queue.put(_INVALID)

    def _is_wanted(self) -> bool:
        return bool(self._dul.to_provider_queue.queue) or self._dul._kill_thread

    def _store_one(self) -> bool:
        """Serve one C-STORE request; False where the library has read instead."""
        header = bytes(self._wire.recv(_HEADER))
        is_data = header[:1] == _P_DATA and len(header) == _HEADER
        if not (is_data and self._is_between_messages()):
            self._let_library_read(header)
            return False
        body = self._body(header)
        pieces = list(_fragments(body))
        request = self._request(pieces)
        if request is None:
            self._let_library_read(header + bytes(body))
            return False
        self._serve(request, pieces)
        return True

    def _is_between_messages(self) -> bool:
        is_established = self._dul.state_machine.current_state == _ESTABLISHED
        return is_established and self._association.dimse.message is None

    def _let_library_read(self, data: bytes) -> None:
        """Let the library read from these bytes on."""
        message = self._association.dimse.message
        if message is not None and message.data_set.tell() > self._max_object:
            raise _ProtocolError
        self._wire.put_back(data)
        self._read_by_library()

    def _body(self, header: bytes) -> memoryview:
        length = int.from_bytes(header[2:], "big")
        if length > self._wire.limit:
            raise _ProtocolError
        return self._wire.view(length)

    def _request(self, pieces: list[Fragment]) -> StoreRequest | None:
        """Return a request that can be served here."""
        if not pieces or not (pieces[0].is_command and pieces[0].is_last):
            return None
        takes = self._association.requestor.maximum_length or _LONGEST_RESPONSE
        if takes < _LONGEST_RESPONSE or pieces[0].context_id not in self._association._accepted_cx:
            return None
        return store_request(bytes(pieces[0].data))

    def _serve(self, request: StoreRequest, pieces: list[Fragment]) -> None:
        context_id = pieces[0].context_id
        incoming = self._open(request, context_id)
        status, path = StoreStatus.OUT_OF_RESOURCES, None
        size = 0
        try:
            for piece in self._data(context_id, pieces[1:]):
                size += len(piece)
                incoming = self._add(incoming, piece, size)
        except BaseException:
            if incoming is not None:
                incoming.drop()
            raise
        if incoming is not None:
            status, path = self._keep(incoming, size)
        self._wire.send(store_response(request, context_id, status))
        if path is not None:
            self._kept(path)

    def _open(self, request: StoreRequest, context_id: int) -> Incoming | None:
        context = self._association._accepted_cx[context_id]
        meta = file_meta(
            sop_class=request.sop_class,
            sop_instance=request.sop_instance,
            transfer_syntax=str(context.transfer_syntax[0]),
            source_ae_title=self._association.requestor.ae_title,
        )
        try:
            incoming = self._inbox.open()
        except StorageError as error:
            _log(error)
            return None
        return self._add(incoming, meta, 0)

    def _add(
        self, incoming: Incoming | None, data: bytes | memoryview, size: int
    ) -> Incoming | None:
        """Write on; None where the object is not to be kept, and the rest is passed over."""
        if incoming is None:
            return None
        try:
            self._require_size(size)
            incoming.write(data)
        except StorageError as error:
            _log(error)
            incoming.drop()
            return None
        return incoming

    def _require_size(self, size: int) -> None:
        if size > self._max_object:
            raise StorageError("the object is larger than max_object")

    def _keep(self, incoming: Incoming, size: int) -> tuple[StoreStatus, Path | None]:
        if not size:
            incoming.drop()
            return StoreStatus.CANNOT_UNDERSTAND, None
        try:
            return StoreStatus.SUCCESS, incoming.keep()
        except StorageError as error:
            _log(error)
            return StoreStatus.OUT_OF_RESOURCES, None

    def _data(self, context_id: int, pieces: list[Fragment]) -> Iterator[memoryview]:
        """Yield the data set of the request in pieces, to its end."""
        while True:
            for number, piece in enumerate(pieces, start=1):
                if piece.is_command or piece.context_id != context_id:
                    raise _ProtocolError
                yield piece.data
                if piece.is_last:
                    if number < len(pieces):
                        raise _ProtocolError
                    return
            pieces = self._next_pieces()

    def _next_pieces(self) -> list[Fragment]:
        header = bytes(self._wire.recv(_HEADER))
        if header[:1] != _P_DATA or len(header) < _HEADER:
            raise _InterruptedError(header)
        return list(_fragments(self._body(header)))


def _fragments(body: memoryview) -> Iterator[Fragment]:
    try:
        yield from fragments(body)
    except ValueError as error:
        raise _ProtocolError from error


def _log(error: StorageError) -> None:
    LOG.error("not_stored", extra={"code": error.code, "reason": str(error)})
