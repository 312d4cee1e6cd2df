"""The web server: a thread of its own in the node's process."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from node.web.settings import Web

LOG = logging.getLogger(__name__)

_GRACE_S: Final = 3
_BACKLOG: Final = 128


class WebServer:
    """Serves an application until it is stopped.

    Parameters
    ----------
    app : ASGI application
    settings : Web
    """

    def __init__(self, app: ASGIApp, settings: Web) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            # whom to believe is decided by the application
            proxy_headers=False,
            server_header=False,
            date_header=True,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=30,
            limit_concurrency=200,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        # in a thread that is not the main one it leaves signals alone
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> bool:
        """Listen; a node whose pages cannot be shown works all the same."""
        try:
            self._socket = self._listen()
        except OSError as error:
            LOG.error(  # noqa: TRY400 - the reason says it all
                "web_not_listening",
                extra={
                    "host": self._settings.host,
                    "port": self._settings.port,
                    "reason": error.strerror,
                },
            )
            return False
        self._thread.start()
        LOG.info("web_listening", extra={"host": self._settings.host, "port": self._settings.port})
        return True

    def stop(self) -> None:
        """End open requests, for a while, and stop."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(2 * _GRACE_S)

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._settings.host, self._settings.port))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket] if self._socket else None)
        except Exception:  # the node must go on receiving
            LOG.exception("web_failed")
