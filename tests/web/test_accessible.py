"""axe-core on every page, light, dark and narrow; pictures of them for people to look at."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser

from node.state import State, series_key
from tests.peers import REPOSITORY
from tests.web.sites import AXE, PICTURES, WebSite

pytestmark = pytest.mark.timeout(300)

VIEWS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "narrow": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}
PAGES = {"worklist": "/", "upload": "/upload", "peers": "/peers", "system": "/system",
         "error": "/nothing"}  # fmt: skip
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_axe_finds_nothing(web_site: WebSite, browser: Browser, view: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not here: deploy/install-test-peers")
    options: dict[str, Any] = VIEWS[view]
    context = browser.new_context(**options, bypass_csp=True)
    page = context.new_page()
    found = {}
    PICTURES.mkdir(parents=True, exist_ok=True)
    pages = {**PAGES, "series": f"/series/{series_key(web_site.head)}"}
    for name, path in pages.items():
        page.goto(web_site.address + path)
        if name == "series":
            page.locator("#viewer[data-ready]").wait_for()
        page.screenshot(path=PICTURES / f"web-{name}-{view}.png", full_page=True)
        width = options["viewport"]["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.add_script_tag(path=AXE)
        answer = page.evaluate("rules => axe.run(document, rules)", RULES)
        found[path] = [
            (item["id"], item["nodes"][0]["html"][:200]) for item in answer["violations"]
        ]
    context.close()
    assert not {path: items for path, items in found.items() if items}


def test_states_differ_by_more_than_colour() -> None:
    style = (REPOSITORY / "node/web/static/style.css").read_text()
    for state in State:
        if state not in {State.IGNORED, State.SUPERSEDED}:  # these have the plain mark
            assert f".s-{state.lower()}::before" in style
