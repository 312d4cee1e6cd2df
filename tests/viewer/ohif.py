"""OHIF in a browser, used as a person would use it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.peers import wait_for
from tests.viewer.overlay import Screenshot

VERSION: Final = "3.13.2"
BROWSER_OPTIONS: Final = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # WebGL without a graphics card
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # the page itself is not drawn by way of it: that takes ten times as long
    "--disable-gpu-compositing",
    # nobody but this machine
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_LIMIT_MS: Final = 60_000


class Ohif:
    """The page of one study.

    Parameters
    ----------
    page : playwright.sync_api.Page
    address : str
        Of the viewer.
    pictures : Path
        Folder for screenshots.
    """

    def __init__(self, page: Page, address: str, pictures: Path) -> None:
        self._page = page
        self._address = address
        self._pictures = pictures
        self.errors: list[str] = []
        page.set_default_timeout(_LIMIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, study_uid: str) -> None:
        """Open a study and wait for its first image."""
        self._page.goto(f"{self._address}/viewer?StudyInstanceUIDs={study_uid}")
        self._page.get_by_text("Skip all").click()
        expect(self._images).to_have_text(re.compile(r"I:"), timeout=_LIMIT_MS)

    def load_seg(self) -> None:
        """Load the segmentation that the study has and open the list of its segments."""
        self._series("SEG").dblclick()
        self._page.get_by_role("button", name="Yes").click()
        self._page.locator('[data-cy="panelSegmentation-btn"]').click()
        expect(self._segments).not_to_have_count(0, timeout=_LIMIT_MS)

    def load_sr(self) -> None:
        """Show the report that the study has, and go to its first region."""
        self._series("SR").dblclick()
        # not always does it draw the first measurement, of the levels, before it is asked to
        self._page.locator('[data-cy="viewport-action-arrows-right"]').click()
        expect(self._drawings.locator("text").first).to_be_attached(timeout=_LIMIT_MS)

    def segment_names(self) -> list[str]:
        """Return what the list of segments shows."""
        return self._page.locator('[data-cy="data-row-title"]').all_inner_texts()

    def go_to_segment(self, name: str, instance_number: int) -> None:
        """Jump to a segment; wait for the image on which it should lie."""
        self._segments.filter(has=self._page.get_by_text(name, exact=True)).click()
        self._mouse_away()
        expect(self._images).to_have_text(re.compile(rf"I:{instance_number} "), timeout=_LIMIT_MS)

    def with_and_without_overlay(self) -> tuple[Screenshot, Screenshot]:
        """Return the viewport without and with the segmentation."""
        drawn = self._settled()
        overlaid = self._screenshot()
        self._toggle_overlay()
        hidden = self._settled(unlike=drawn)
        plain = self._screenshot()
        self._toggle_overlay()
        self._settled(unlike=hidden)
        return plain, overlaid

    def window(self) -> tuple[float, float]:
        """Return centre and width as the viewport shows them."""
        words = self._page.locator('[data-cy="viewport-overlay-bottom-left"]').inner_text()
        width, centre = re.findall(r"-?\d+(?:\.\d+)?", words)[:2]
        return float(centre), float(width)

    def words_on_image(self) -> str:
        """Return what is written beside measurements."""
        return "\n".join(self._drawings.locator("text").all_text_contents())

    def words(self) -> str:
        """Return every text on the page."""
        return self._page.locator("body").inner_text()

    def save(self, name: str, words: str = "") -> None:
        """Keep a picture of the page, and what there is to say of it."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        self._page.screenshot(path=self._pictures / f"{name}.png")
        if words:
            (self._pictures / f"{name}.txt").write_text(f"{words}\n")

    @property
    def _images(self) -> Locator:
        return self._page.locator('[data-cy="viewport-overlay-bottom-right"]')

    @property
    def _drawings(self) -> Locator:
        return self._page.locator("svg.svg-layer").first

    @property
    def _segments(self) -> Locator:
        return self._page.locator('[data-cy="data-row"]')

    def _series(self, modality: str) -> Locator:
        return self._page.locator('[data-cy="study-browser-thumbnail-no-image"]').filter(
            has=self._page.locator('[data-cy="series-modality-label"]', has_text=modality)
        )

    def _toggle_overlay(self) -> None:
        self._page.locator('[data-cy="all-segments-visibility-toggle"]').click()
        self._mouse_away()

    def _mouse_away(self) -> None:
        """Close what shows where the mouse rests."""
        self._page.mouse.move(0, 0)

    def _settled(self, unlike: str = "") -> str:
        """Return what the canvas holds when it is twice the same, and not what it was."""
        last = ""

        def again() -> str | None:
            nonlocal last
            before, last = last, str(self._canvas.evaluate("it => it.toDataURL()"))
            return last if last == before != unlike else None

        return wait_for(again, _LIMIT_MS / 1000, "the viewport shows something else, and keeps it")

    def _screenshot(self) -> Screenshot:
        data = self._canvas.screenshot()
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    @property
    def _canvas(self) -> Locator:
        return self._page.locator(".cornerstone-canvas").first
