"""The HTTP server of STOW-RS, in a thread of the node."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from node.config import NodeConfig
from node.dicomweb import Gate, stow_router
from node.errors import ConfigError
from node.tls import web_context

ROOT: Final = "/dicom-web"
"""Path of the service."""


class DicomwebServer:
    """Serves ``/dicom-web/studies``.

    Parameters
    ----------
    gate : Gate

    Raises
    ------
    ConfigError
        The address cannot be listened on, or a certificate cannot be used.
    """

    def __init__(self, gate: Gate) -> None:
        config = gate.config
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.include_router(stow_router(gate), prefix=ROOT)
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            limit_concurrency=config.max_associations,
            timeout_graceful_shutdown=5,
            **_https(config),
        )
        try:
            self._socket = socket.create_server(
                (config.dicomweb.host, config.dicomweb.port), backlog=128
            )
        except OSError as error:
            raise ConfigError(
                f"dicomweb: cannot listen on {config.dicomweb.host}:{config.dicomweb.port} "
                f"({error.strerror})"
            ) from error
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="dicomweb", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Let open requests end, for a while."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(10.0)
        self._socket.close()


def _https(config: NodeConfig) -> dict[str, Any]:
    context = web_context(config)
    if context is None:
        return {}
    return {
        # uvicorn speaks HTTPS where it is given a file, in whatever context
        "ssl_certfile": str(config.tls.certificate),
        "ssl_context_factory": lambda _config, _default: context,
    }
