"""Send one HL7 message by MLLP and read the answer.

References
----------
HL7 Version 2, Transport Specification: MLLP, Release 1, 2 "Minimal Lower Layer
Message Transport Protocol": VT (0x0B), the message, FS (0x1C), CR (0x0D).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from node.errors import NotificationError, PeerTimeoutError
from node.notify.settings import Notification
from node.tls import outgoing_context

_START: Final = b"\x0b"
_END: Final = b"\x1c\r"
_LONGEST: Final = 1 << 20


def exchange(target: Notification, message: bytes) -> bytes:
    """Send a message and return the answer, without its frame.

    Raises
    ------
    PeerTimeoutError
        The receiver cannot be reached, or does not answer in time.
    NotificationError
        What it answers is no framed message.
    """
    try:
        with connection(target) as link:
            link.sendall(_START + message + _END)
            return _unframed(target, _read(link))
    except ssl.SSLError as error:
        raise PeerTimeoutError(f"{target.name}: no TLS connection: check ca") from error
    except OSError as error:
        raise PeerTimeoutError(
            f"{target.name} cannot be reached by MLLP ({type(error).__name__})"
        ) from error


@contextmanager
def connection(target: Notification) -> Iterator[socket.socket]:
    """Open a connection, by TLS where that is configured."""
    context = outgoing_context(target.ca) if target.protection == "tls" else None
    with socket.create_connection(target.address, timeout=target.timeout_s) as plain:
        if context is None:
            yield plain
        else:
            with context.wrap_socket(plain, server_hostname=target.host) as link:
                yield link


def _read(link: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(_END) and len(answer) < _LONGEST:
        part = link.recv(1 << 16)
        if not part:
            break
        answer += part
    return answer


def _unframed(target: Notification, answer: bytes) -> bytes:
    start, end = answer.rfind(_START), answer.rfind(_END)
    if start < 0 or end < start:
        raise NotificationError(f"{target.name} closed the connection without an answer")
    return answer[start + 1 : end]
