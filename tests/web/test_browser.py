"""Every page and every button, in headless Chromium, on a real head."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, Route, expect

from node.state import series_key
from tests.node.series import PATIENT, write_series
from tests.peers import storescu, wait_for
from tests.web.sites import WebSite, open_page

pytestmark = pytest.mark.timeout(300)  # the first one waits for the whole computation

expect.set_options(timeout=20_000)  # many tests may run at a time

REGIONS = {"ganglionic": 14, "supraganglionic": 6}


def lines(page: Page, level: str) -> int:
    return page.locator(f".viewer[data-level={level}] path.line").count()


def wait_for_outlines(page: Page) -> None:
    page.locator("#viewer[data-ready]").wait_for()


def test_the_worklist_follows_without_being_loaded_again(
    web_site: WebSite, browser: Browser, tmp_path: Path
) -> None:
    with open_page(browser, web_site.address) as page:
        head = page.locator("tr", has=page.locator(f"abbr[title='{web_site.head}']"))
        expect(head).to_contain_text("done")
        expect(head.locator("td[data-label=Seconds]")).to_have_text(re.compile(r"\d+\.\d"))
        expect(head.locator("td[data-label=Images]")).to_have_text("28")
        page.evaluate("window.stayed = true")
        uid, files = write_series(tmp_path, "mr", modality="MR")
        storescu(web_site.node.port, files, aet="MR1")
        row = page.locator("tr", has=page.locator(f"abbr[title='{uid}']"))
        expect(row).to_contain_text("rejected", timeout=20_000)
        assert page.evaluate("window.stayed")


def test_the_worklist_can_be_narrowed_and_searched(web_site: WebSite, browser: Browser) -> None:
    with open_page(browser, web_site.address) as page:
        page.get_by_role("link", name=re.compile("^Done")).click()
        expect(page.locator("tbody tr")).to_have_count(1)
        page.get_by_role("searchbox").fill("no such series")
        page.keyboard.press("Enter")
        expect(page.locator(".empty")).to_contain_text("No series is like that.")


def test_regions_are_switched_on_and_off(web_site: WebSite, browser: Browser) -> None:
    with open_page(browser, web_site.head_page) as page:
        wait_for_outlines(page)
        assert {level: lines(page, level) for level in REGIONS} == REGIONS
        page.get_by_label("M1", exact=True).uncheck()
        assert lines(page, "ganglionic") == 12
        page.get_by_label("all", exact=True).click()  # from some to all
        assert lines(page, "ganglionic") == 14
        page.get_by_label("all", exact=True).uncheck()
        assert {level: lines(page, level) for level in REGIONS} == dict.fromkeys(REGIONS, 0)


def test_the_regions_lie_on_the_brain(web_site: WebSite, browser: Browser) -> None:
    with open_page(browser, web_site.head_page) as page:
        wait_for_outlines(page)
        boxes = page.evaluate(
            """() => [...document.querySelectorAll('.viewer[data-level=ganglionic] path.line')]
            .map(line => [Number(line.dataset.number), line.querySelector('title').textContent,
                          line.getBBox().x + line.getBBox().width / 2])"""
        )
    for _, title, x in boxes:
        assert (x < 315) == title.startswith("right"), title


def test_windows_and_slices_are_chosen_by_mouse_and_keyboard(
    web_site: WebSite, browser: Browser
) -> None:
    with open_page(browser, web_site.head_page) as page:
        wait_for_outlines(page)
        viewer = page.locator(".viewer[data-level=ganglionic]")
        picture, where = viewer.locator("image"), viewer.locator(".where")
        first = fetch(page, picture.get_attribute("href"))
        page.get_by_label("W30 L35").check()
        second = fetch(page, picture.get_attribute("href"))
        assert ImageChops.difference(first, second).getbbox()
        chosen = where.inner_text()
        assert "chosen" in chosen
        viewer.locator(".stage").focus()
        page.keyboard.press("ArrowUp")
        expect(where).not_to_have_text(chosen)
        assert lines(page, "ganglionic") == 0  # the regions are those of one slice
        page.keyboard.press("Home")
        expect(where).to_have_text(chosen)
        viewer.get_by_role("button", name="higher").click()
        viewer.get_by_role("button", name="lower").click()
        expect(where).to_have_text(chosen)
        viewer.get_by_role("button", name=re.compile("Runner-up")).click()
        expect(where).to_contain_text("runner-up")
        viewer.get_by_role("button", name=re.compile("Chosen")).click()
        viewer.get_by_role("slider").fill("3")
        expect(where).to_contain_text("slice 4 of 28")


def fetch(page: Page, path: str | None) -> Image.Image:
    answer = page.request.get(f"{page.url.split('/series')[0]}{path}")
    assert answer.ok
    return Image.open(io.BytesIO(answer.body()))


def test_the_table_says_what_was_measured(web_site: WebSite, browser: Browser) -> None:
    result = web_site.get(f"/series/{series_key(web_site.head)}/1/result")
    measured = {(item["region"], item["side"]): item for item in result["regions"]}
    with open_page(browser, web_site.head_page) as page:
        rows = page.locator(".regions-table tr[data-number]")
        expect(rows).to_have_count(10)
        for row in rows.all():
            region = row.locator("th").inner_text().strip()
            cells = [text.strip() for text in row.locator("td.n").all_inner_texts()]
            right, left = measured[region, "R"], measured[region, "L"]
            assert cells[0] == f"{right['tissue_hu_median']:.1f}"
            assert cells[1] == f"{left['tissue_hu_median']:.1f}"
            assert cells[4] == f"{right['area_mm2']:.0f}"


def test_results_are_sent_again(web_site: WebSite, browser: Browser) -> None:
    before = web_site.series(web_site.head)["details"][0]["attempts"]
    with open_page(browser, web_site.head_page) as page:
        page.get_by_role("button", name="Re-send to pacs").click()
        expect(page.get_by_role("status").filter(has_text="sent again")).to_be_visible()
        expect(page.locator("#live-deliveries")).to_contain_text(f"{before + 1} attempts")
        expect(page.locator("#live-steps")).to_contain_text("resend pacs, by web")
        page.get_by_role("button", name="Re-send", exact=True).click()
        expect(page.locator("#live-deliveries")).to_contain_text(f"{before + 2} attempts")


def test_a_rejected_series_is_tried_again_and_computed_again(
    web_site: WebSite, browser: Browser, tmp_path: Path
) -> None:
    uid, files = write_series(tmp_path, "tiny")
    storescu(web_site.node.port, files, aet="CT2")
    web_site.node.wait_for_state(uid, "REJECTED", 60.0)
    with open_page(browser, f"{web_site.address}/series/{series_key(uid)}") as page:
        expect(page.locator("#live-head")).to_contain_text("rejected")
        expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#live-steps")).to_contain_text("retry, by web")
        wait_for(lambda: web_site.series(uid)["generation"] == 2 or None)
        web_site.node.wait_for_state(uid, "REJECTED", 60.0)
        page.reload()
        page.get_by_role("button", name="Reprocess").click()
        wait_for(lambda: web_site.series(uid)["generation"] == 3 or None)
        page.goto(f"{web_site.address}/series/{series_key(uid)}?computation=1")
        expect(page.locator("main")).to_contain_text("This is computation 1.")


def test_a_peer_is_asked_whether_it_is_there(web_site: WebSite, browser: Browser) -> None:
    with open_page(browser, f"{web_site.address}/peers") as page:
        page.get_by_role("button", name="Echo pacs").click()
        expect(page.get_by_role("status").filter(has_text="pacs")).to_contain_text("answered in")
        page.get_by_role("button", name="Echo archive").click()
        expect(page.locator(".note.bad")).to_contain_text("cannot be reached")


def test_the_system_page_says_how_the_node_stands(web_site: WebSite, browser: Browser) -> None:
    with open_page(browser, f"{web_site.address}/system") as page:
        expect(page.locator("main")).to_contain_text("The node is fit to work.")
        for text in ("Free disk", "aspects-281", "safetensors", "pynetdicom", "Workers"):
            expect(page.locator("main")).to_contain_text(text)


def test_a_folder_and_a_zip_are_uploaded(
    web_site: WebSite, browser: Browser, tmp_path: Path
) -> None:
    first, _ = write_series(tmp_path / "folder", "folder")
    (tmp_path / "folder/notes.txt").write_text("no image")
    second, more = write_series(tmp_path / "zipped", "zipped")
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for path in more:
            content.write(path, path.name)
    with open_page(browser, f"{web_site.address}/upload") as page:
        page.locator("#folder").set_input_files(tmp_path / "folder")
        expect(page.locator("#outcome")).to_have_text("3 images were taken in, 1 files left out.")
        page.locator("#files").set_input_files(archive)
        expect(page.locator("#uploaded a")).to_have_attribute(
            "href", f"/series/{series_key(second)}"
        )
        page.locator("#uploaded a").click()
        expect(page.locator(".facts").last).to_contain_text("WEB-UPLOAD")
    for uid in (first, second):
        row = web_site.node.wait_for_state(uid, "REJECTED", 60.0)
        assert row["images"] == 3


def test_an_upload_can_be_stopped(web_site: WebSite, browser: Browser, tmp_path: Path) -> None:
    _, files = write_series(tmp_path, "stopped")
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    with open_page(browser, f"{web_site.address}/upload") as page:
        page.route(re.compile(r"/uploads/\d+$"), hold_the_first)
        with page.expect_request(re.compile(r"/uploads/\d+$")):
            page.locator("#files").set_input_files(files)
        page.get_by_role("button", name="Stop").click()
        page.wait_for_function("stopped")
        held[0].continue_()
        expect(page.locator("#outcome")).to_have_text(
            "1 image was taken in, 0 files left out. You stopped it."
        )


def test_an_upload_that_is_refused_says_why(
    web_site: WebSite, browser: Browser, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("a", bytes(32 << 20))
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{web_site.address}/upload")
    page.locator("#files").set_input_files(bomb)
    expect(page.locator("#outcome")).to_contain_text("far more than images do")
    context.close()


def test_a_persons_levels_make_a_new_result_that_names_the_old_one(
    web_site: WebSite, browser: Browser
) -> None:
    with open_page(browser, web_site.head_page) as page:
        wait_for_outlines(page)
        viewer = page.locator(".viewer[data-level=supraganglionic]")
        viewer.get_by_role("button", name=re.compile("Runner-up")).click()
        page.get_by_role("button", name="Take the slices shown").click()
        page.get_by_role("button", name="Compute again").click()
        # the page loads itself again when the new result is there
        expect(page.locator("#viewer")).to_contain_text("chosen by a person", timeout=120_000)
        expect(page.locator("#live-steps")).to_contain_text(re.compile("levels .*, by web"))
    found = web_site.series(web_site.head)
    before = web_site.get(f"/series/{series_key(web_site.head)}/1/result")
    after = web_site.get(f"/series/{series_key(web_site.head)}/{found['generation']}/result")
    runner_up = before["levels"]["supraganglionic"]["runner_up_index"]
    assert after["levels"]["supraganglionic"]["index"] == runner_up
    assert after["provenance"]["levels_by"] == "person"
    web_site.node.wait_for_state(web_site.head, "DONE", 60.0)
    reports = [item for item in web_site.pacs.received() if item.Modality == "SR"]
    named = [
        str(item.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
            .ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in reports
        if "PredecessorDocumentsSequence" in item
    ]  # fmt: skip
    assert len(named) == 1
    assert named[0] in {str(item.SOPInstanceUID) for item in reports}


def test_no_page_names_the_patient(web_site: WebSite, browser: Browser) -> None:
    for row in web_site.get("/series")["series"]:
        html = browser.new_page().request.get(f"{web_site.address}/series/{row['key']}").text()
        assert PATIENT.split("^")[0] not in html.upper()
