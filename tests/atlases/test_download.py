"""Downloading, from real HTTP servers on the loopback interface."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import atlases.install
from atlases.catalog import CatalogEntry, catalog_entry
from atlases.download import download
from atlases.errors import AtlasAlteredError, AtlasUnavailableError
from atlases.install import install, is_installed

RUN = "aspects-node atlas install aspects-281 --from FOLDER"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(copy: Path) -> Iterator[str]:
    """Serve the real files; yields the URL of their folder's parent."""
    handler = partial(_Quiet, directory=str(copy.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_address[1]}"
        http_server.shutdown()
        thread.join()


def _at(entry: CatalogEntry, *urls: str) -> CatalogEntry:
    return dataclasses.replace(entry, urls=urls)


def test_download_and_install(
    entry: CatalogEntry, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = _at(entry, f"{server}/aspects-281/")
    monkeypatch.setattr(atlases.install, "catalog_entry", lambda _: served)
    monkeypatch.setattr(atlases.install, "SHARED_DATA", tmp_path / "not-there")
    monkeypatch.delenv("ASPECTS_NODE_ATLAS_SOURCE", raising=False)
    fetched: list[str] = []
    folder = install("aspects-281", tmp_path / "data", on_file=fetched.append)
    assert is_installed(entry, folder)
    assert fetched == list(entry.files)


def test_second_address_where_the_first_has_no_such_file(entry: CatalogEntry, server: str) -> None:
    contents = download(_at(entry, f"{server}/gone/", f"{server}/aspects-281/"))
    assert set(contents) == set(entry.files)


def test_not_found(entry: CatalogEntry, server: str) -> None:
    with pytest.raises(AtlasUnavailableError, match=r"cortical_image_10_29\S* .* 404") as info:
        download(_at(entry, f"{server}/gone/"))
    assert RUN in str(info.value)


def test_altered_download_is_refused_by_name(entry: CatalogEntry, server: str, copy: Path) -> None:
    altered = copy / "subcortical_label_10_29.nii.gz"
    altered.write_bytes(altered.read_bytes()[:-1])
    with pytest.raises(AtlasAlteredError, match=altered.name) as info:
        download(_at(entry, f"{server}/aspects-281/"))
    assert RUN in str(info.value)


def test_nobody_listens(entry: CatalogEntry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as freed:
        port = freed.getsockname()[1]
    with pytest.raises(AtlasUnavailableError, match="refused") as info:
        download(_at(entry, f"http://127.0.0.1:{port}/"))
    assert RUN in str(info.value)


def test_server_that_never_answers(entry: CatalogEntry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(AtlasUnavailableError, match="timed out"):
            download(_at(entry, f"http://127.0.0.1:{port}/"), timeout_s=0.2)


def test_only_http_is_spoken(entry: CatalogEntry, copy: Path) -> None:
    with pytest.raises(AtlasUnavailableError, match="unknown url type"):
        download(_at(entry, f"file://{copy}/"))


def test_published_addresses_are_https_and_pinned() -> None:
    urls = catalog_entry("aspects-281").urls
    assert urls[0].startswith("https://")
    assert all("/BravoSun/NCCT-atlas-for-ASPECTS-scoring/" in url for url in urls)
    assert urls[0].endswith("/52144cb/ASPECTS-281/")


@pytest.mark.network
def test_public_repository(entry: CatalogEntry) -> None:
    one = dict([next(iter(entry.files.items()))])
    try:
        contents = download(dataclasses.replace(entry, files=MappingProxyType(one)), timeout_s=5)
    except AtlasUnavailableError as error:
        pytest.skip(f"the public repository cannot be reached: {error}")
    assert set(contents) == set(one)
