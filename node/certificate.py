"""Look at a certificate as a peer would: shake hands with it, in memory."""

from __future__ import annotations

import ssl
from pathlib import Path

from node.errors import ConfigError


def require_pair(certificate: Path, key: Path) -> None:
    """Check that a server can use a certificate and its key, expired or not.

    Raises
    ------
    ConfigError
        It cannot.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"{certificate}, {key}: cannot be used ({why})") from error


def expiry(certificate: Path, key: Path) -> float:
    """Return until when a certificate is good, in seconds since the epoch.

    Raises
    ------
    ConfigError
        Certificate or key cannot be used, do not belong together, or the
        certificate is not valid now.
    """
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate, key)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.load_verify_locations(certificate)
        # it vouches for itself, whoever signed it
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        shown = _shake_hands(server, client)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "verify_message", "") or error.strerror or type(error).__name__
        raise ConfigError(f"{certificate}, {key}: cannot be used ({why})") from error
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(up, down, server_side=True)
    ours = client.wrap_bio(down, up)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (ours, theirs):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    return dict(ours.getpeercert() or {})
