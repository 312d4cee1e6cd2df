"""OHIF on a port of this machine: its built files, and Orthanc behind it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

DICOM_WEB: Final = "/dicom-web"
_PASSED_ON: Final = ("Accept", "Content-Type")


class Site:
    """The viewer's web server; stops where the ``with`` block ends.

    Parameters
    ----------
    files : Path
        The folder ``dist`` of ``@ohif/app``.
    archive : str
        Address of the web server whose ``/dicom-web`` it shows.
    """

    def __init__(self, files: Path, archive: str) -> None:
        handler = partial(_Handler, archive, directory=str(files))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, archive: str, *arguments: Any, **more: Any) -> None:
        self._archive = archive
        super().__init__(*arguments, **more)

    def end_headers(self) -> None:
        # the viewer's workers share memory, which a browser grants to isolated pages alone
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def do_GET(self) -> None:
        path = self.path.split("?", 1)[0]
        if path.startswith(DICOM_WEB):
            self._ask_archive()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", _app_config().encode())
        else:
            if not Path(self.translate_path(self.path)).is_file():
                self.path = "/index.html"  # a page of the application, which sorts it out itself
            super().do_GET()

    def _ask_archive(self) -> None:
        headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
        # Orthanc writes the addresses of bulk data with the host that it was called by
        headers["Host"] = self.headers["Host"]
        request = urllib.request.Request(self._archive + self.path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self._answer(answer.status, answer.headers["Content-Type"], answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, "text/plain", error.read())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _app_config() -> str:
    source = {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "archive",
        "configuration": {
            "friendlyName": "archive",
            "name": "archive",
            **dict.fromkeys(("qidoRoot", "wadoRoot", "wadoUriRoot"), DICOM_WEB),
            "qidoSupportsIncludeField": False,
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": True,
            "bulkDataURI": {"enabled": True},
        },
    }
    config = {
        "routerBasename": None,
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "showErrorDetails": "always",
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": "archive",
        "dataSources": [source],
    }
    return f"window.config = {json.dumps(config)};"
