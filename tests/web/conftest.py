"""The web part alone, and a whole node with a browser before it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.peers import NodeProcess, StoreScp, free_port, peer, storescu, tool
from tests.web.fronts import Desktop, make_desktop
from tests.web.sites import WebSite, head_uid


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    """The web part of a node, open to this machine."""
    found = make_desktop(tmp_path)
    yield found
    found.front.stop()


# not for the session: while it is there its event loop runs, and no other can
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if (path := shutil.which("chromium")) is None:
        pytest.skip("not installed: chromium (deploy/install-test-peers)")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def web_site(
    tmp_path_factory: pytest.TempPathFactory, atlas_folder: Path, ct_ge: list[Path]
) -> Iterator[WebSite]:
    """A node that computed a real head, a PACS, and an archive that is down."""
    if tool("storescp") is None:
        pytest.skip("not installed: dcmtk")
    folder = tmp_path_factory.mktemp("web")
    pacs = StoreScp(folder / "pacs")
    port = free_port()
    node = NodeProcess(
        folder / "node",
        {
            "atlas_folder": str(atlas_folder),
            "default_peer": "pacs",
            "web": {"port": port},
            "peers": [
                peer("pacs", "PACS", pacs.port),
                peer("archive", "ARCHIVE", free_port()),
                peer("ct2", "CT2", 104, destination=False),
            ],
        },
    )
    try:
        pacs.start()
        node.start()
        storescu(node.port, ct_ge)
        node.wait_for_state(head_uid(ct_ge), "DONE", 280.0)
        yield WebSite(node, pacs, f"http://localhost:{port}", head_uid(ct_ge))
    finally:
        node.kill()
        pacs.kill()
