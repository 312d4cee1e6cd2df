"""A running node as its pages show it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page
from pydicom import dcmread

from node.state import series_key
from tests.peers import REPOSITORY, NodeProcess, StoreScp

AXE = REPOSITORY / "build/axe-core-4.14.1/package/axe.min.js"
PICTURES = REPOSITORY / "build/screenshots"


def head_uid(files: list[Path]) -> str:
    return str(dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)


@dataclass(slots=True)
class WebSite:
    """A node, its PACS, the address of its pages, and the head that it computed."""

    node: NodeProcess
    pacs: StoreScp
    address: str
    head: str

    @property
    def head_page(self) -> str:
        return f"{self.address}/series/{series_key(self.head)}"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.address}/api/v1{path}", timeout=30) as answer:
            return json.load(answer)

    def series(self, uid: str) -> Any:
        return self.get(f"/series/{series_key(uid)}")


@contextmanager
def open_page(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """Open a page; fail where the browser complains of anything, a blocked script included."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type in {"error", "warning"} else None
        ),
    )
    try:
        page.goto(address)
        yield page
        assert not complaints
    finally:
        context.close()
