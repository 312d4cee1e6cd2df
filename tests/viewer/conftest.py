"""OHIF, Orthanc behind it, and a browser before it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.peers import REPOSITORY, Orthanc, tool
from tests.viewer.ohif import BROWSER_OPTIONS, VERSION, Ohif
from tests.viewer.site import Site

FILES = REPOSITORY / f"build/ohif-{VERSION}/dist"
PICTURES = REPOSITORY / "build/screenshots"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc with its DICOMweb plugin."""
    if tool("Orthanc") is None:
        pytest.skip("Orthanc is not installed: deploy/install-test-peers")
    found = Orthanc(tmp_path_factory.mktemp("archive"), {}, dicom_web=True)
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def site(archive: Orthanc) -> Iterator[Site]:
    """The viewer's web server."""
    if not FILES.is_dir():
        pytest.skip("OHIF is not here: deploy/install-test-peers")
    with Site(FILES, f"http://127.0.0.1:{archive.http}") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium that draws WebGL in software."""
    if (path := shutil.which("chromium")) is None:
        pytest.skip("Chromium is not installed: deploy/install-test-peers")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=list(BROWSER_OPTIONS))
        yield found
        found.close()


@pytest.fixture
def open_study(site: Site, browser: Browser) -> Iterator[Callable[[str], Ohif]]:
    """Return a function that opens a study in a page of its own."""
    pages = []

    def open_(study_uid: str) -> Ohif:
        # so wide that the height of the viewport limits the image, whatever panel is open
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        pages.append(page)
        found = Ohif(page, site.address, PICTURES)
        found.open(study_uid)
        return found

    yield open_
    for page in pages:
        page.close()
