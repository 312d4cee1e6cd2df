"""TLS for both directions, after the profile that does not downgrade.

References
----------
DICOM PS3.15, B.13 "Non-Downgrading BCP 195 TLS Secure Transport Connection
Profile"; RFC 9325 "Recommendations for Secure Use of Transport Layer Security".
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any, Final

from node.config import NodeConfig
from node.errors import ConfigError
from node.peer import Peer

_CIPHERS: Final = "ECDHE+AESGCM:DHE+AESGCM:ECDHE+CHACHA20"


class _LateHandshake(ssl.SSLContext):
    """Leaves the handshake to the thread of the association.

    The library would else shake hands where it takes connections, one after the
    other: a peer that connects and says nothing would shut everybody out.
    """

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Wrap a socket; the first read shakes hands."""
        return super().wrap_socket(sock, *args, **{**kwargs, "do_handshake_on_connect": False})


def server_context(config: NodeConfig) -> ssl.SSLContext | None:
    """Return how associations are received; None without TLS.

    A peer has to show a certificate that ``tls.ca`` signed.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """
    if not config.tls.listen:
        return None
    context = _LateHandshake(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    _prepare(context, config, config.tls.ca)
    return context


def client_context(config: NodeConfig, peer: Peer) -> ssl.SSLContext | None:
    """Return how a peer is called; None without TLS.

    The peer's certificate has to name its ``host``.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """
    if not peer.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _prepare(context, config, peer.ca or config.tls.ca)
    return context


def web_context(config: NodeConfig) -> ssl.SSLContext | None:
    """Return how STOW-RS is received; None without TLS.

    Where there is no secret to know, a client has to show a certificate that
    ``tls.ca`` signed.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """
    if not config.dicomweb.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if not config.dicomweb.has_secret:
        context.verify_mode = ssl.CERT_REQUIRED
    _prepare(context, config, config.tls.ca or config.tls.certificate)
    return context


def syslog_context(config: NodeConfig) -> ssl.SSLContext:
    """Return how the syslog server is called.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _prepare(context, config, config.tls.ca)
    return context


def outgoing_context(authority: Path | None) -> ssl.SSLContext:
    """Return how servers are called that ask for no certificate of ours.

    Parameters
    ----------
    authority : Path or None
        Who signed the server's certificate; None: whom the system trusts.

    Raises
    ------
    ConfigError
        The file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca: {authority} cannot be used ({type(error).__name__})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _prepare(context: ssl.SSLContext, config: NodeConfig, authority: Path | None) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    tls = config.tls
    if tls.certificate is None or tls.key is None or authority is None:
        raise ConfigError("tls: certificate, key and ca are needed where TLS is used")
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"tls: {tls.certificate}, {tls.key} or {authority} cannot be used "
            f"({error.strerror or type(error).__name__})"
        ) from error
