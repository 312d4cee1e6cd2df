"""Syslog messages to a server, by UDP or TLS.

References
----------
RFC 5424 "The Syslog Protocol", 6 "Syslog Message Format"; RFC 5425 "TLS
Transport Mapping", 4.3 "Sending Data"; RFC 5426 "Transmission over UDP".
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from node.config import NodeConfig
from node.state import now_s
from node.tls import syslog_context

LOG = logging.getLogger(__name__)

_PRIORITY: Final = 10 * 8 + 5
"""Facility 10, security and authorisation; severity 5, notice."""
_TIMEOUT_S: Final = 5.0


def syslog_message(text: str, *, at: float, host: str, pid: int) -> bytes:
    r"""Return a message as RFC 5424 has it.

    Examples
    --------
    >>> syslog_message("{}", at=0.0, host="here", pid=7)
    b'<85>1 1970-01-01T00:00:00.000+00:00 here aspects-node 7 IHE+RFC-3881 - \xef\xbb\xbf{}'
    """
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    head = f"<{_PRIORITY}>1 {time} {host} aspects-node {pid} IHE+RFC-3881 - "
    return head.encode("ascii", "replace") + b"\xef\xbb\xbf" + text.encode()


class Syslog:
    """Sends messages; one that cannot be sent is in the file all the same.

    Parameters
    ----------
    config : NodeConfig

    Raises
    ------
    ConfigError
        The certificates cannot be used.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._address = (str(config.audit.syslog_host), config.audit.syslog_port)
        is_tls = config.audit.syslog_protocol == "tls"
        self._context = syslog_context(config) if is_tls else None
        self._is_down = False

    def send(self, lines: Iterable[str]) -> None:
        """Send one message for each line; failures are logged, once."""
        found = [
            syslog_message(line, at=now_s(), host=socket.gethostname(), pid=os.getpid())
            for line in lines
        ]
        try:
            (self._send_udp if self._context is None else self._send_tls)(found)
        except OSError as error:
            if not self._is_down:
                LOG.warning("syslog_down", extra={"reason": type(error).__name__})
            self._is_down = True
        else:
            self._is_down = False

    def _send_udp(self, messages: list[bytes]) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(
            *self._address, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as connection:
            for item in messages:
                connection.sendto(item, address)

    def _send_tls(self, messages: list[bytes]) -> None:
        assert self._context is not None  # noqa: S101 - chosen by the caller
        with (
            socket.create_connection(self._address, timeout=_TIMEOUT_S) as plain,
            self._context.wrap_socket(plain, server_hostname=self._address[0]) as connection,
        ):
            # RFC 5425: each message after its length and a space
            connection.sendall(b"".join(b"%d %s" % (len(item), item) for item in messages))
