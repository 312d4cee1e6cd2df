"""Logging in by browser, themes, names, and how the web part ends with its node."""

from __future__ import annotations

import base64
import http.cookiejar
import json
import logging
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from node.errors import ConfigError
from node.state import series_key
from node.web.accounts import hash_password, write_users
from node.web.security import COOKIE
from node.web.server import WebServer
from node.web.settings import Web
from tests.node.conftest import DOUBLE
from tests.node.series import PATIENT, write_series
from tests.peers import NodeProcess, free_port, peer, run, storescu, tool, wait_for
from tests.web.fronts import Desktop, make_desktop

PASSWORD = "correct horse"

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=20_000)  # many tests may run at a time


@pytest.fixture(scope="module")
def guarded_node(
    tmp_path_factory: pytest.TempPathFactory, atlas_folder: Path
) -> Iterator[NodeProcess]:
    """A node with one user, that shows names; what it computes takes no time."""
    if tool("storescu") is None:
        pytest.skip("not installed: dcmtk")
    folder = tmp_path_factory.mktemp("guarded")
    users = folder / "users"
    write_users(users, {"alice": hash_password(PASSWORD)})
    config = {
        "atlas_folder": str(atlas_folder),
        "web": {"port": free_port(), "users_file": str(users), "show_patient_name": True},
        "peers": [peer("archive", "ARCHIVE", free_port())],
    }
    found = NodeProcess(folder / "node", config, DOUBLE)
    found.start()
    yield found
    found.kill()


def address(node: NodeProcess) -> str:
    for line in node.log.read_text().splitlines():
        if '"web_listening"' in line:
            return f"http://localhost:{json.loads(line)['port']}"
    raise AssertionError(f"the web server does not listen: {node.log}")


def children(pid: int) -> set[int]:
    """Return the processes that a process began."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.add(int(path.parent.name))
    return found


def test_a_person_logs_in_looks_and_logs_out(
    guarded_node: NodeProcess, browser: Browser, ct_ge: list[Path], tmp_path: Path
) -> None:
    uid, files = write_series(tmp_path / "ct", "named")
    storescu(guarded_node.port, files)
    guarded_node.wait_for_state(uid, "FAILED")  # there is no destination
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(f"{address(guarded_node)}/series/{series_key(uid)}")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".patient")).to_contain_text(PATIENT.split("^")[0])
    expect(page.locator(".user")).to_have_text("alice")
    expect(page.locator("#live-head")).to_contain_text("no-destination")

    theme = page.get_by_role("button", name="Theme")
    theme.click()
    theme.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()

    page.get_by_role("button", name="Log out").click()
    page.goto(address(guarded_node))
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    context.close()


def test_work_is_stopped_and_taken_up_again(
    guarded_node: NodeProcess, browser: Browser, tmp_path: Path
) -> None:
    # the archive is down: its results wait until somebody stops it
    uid, files = write_series(tmp_path, "waiting")
    storescu(guarded_node.port, files, aet="ARCHIVE")
    guarded_node.wait_for_state(uid, "DELIVERING", 60.0)
    context = browser.new_context(extra_http_headers=basic("alice", PASSWORD))
    page = context.new_page()
    page.goto(f"{address(guarded_node)}/series/{series_key(uid)}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#live-head")).to_contain_text("cancelled")
    expect(page.locator("#live-steps")).to_contain_text("cancel, by alice")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#live-head")).to_contain_text("delivering")
    context.close()


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def test_the_web_part_ends_with_its_node(guarded_node: NodeProcess) -> None:
    request = urllib.request.Request(f"{address(guarded_node)}/login")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
    with socket.create_connection(("127.0.0.1", int(address(guarded_node).rpartition(":")[2]))):
        # a connection that says nothing holds nothing up
        assert guarded_node.stop() == 0


def test_the_drawing_process_ends_when_the_node_is_killed(
    tmp_path: Path, atlas_folder: Path, ct_ge: list[Path]
) -> None:
    port = free_port()
    node = NodeProcess(
        tmp_path / "node", {"atlas_folder": str(atlas_folder), "web": {"port": port}}, DOUBLE
    )
    node.start()
    try:
        storescu(node.port, ct_ge)
        row = wait_for(lambda: node.status() or None)[0]
        node.wait_for_state(row["series"], "FAILED")
        before = children(node.pid)
        key = series_key(row["series"])
        slices = f"http://localhost:{port}/api/v1/series/{key}/1/slices"
        with urllib.request.urlopen(f"{slices}/10?window=w30", timeout=50) as answer:
            assert answer.read().startswith(b"\x89PNG")
        drawing = children(node.pid) - before
        assert drawing
    finally:
        node.kill()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in drawing), 20.0)


def test_a_port_that_is_taken_does_not_keep_the_node_from_working(
    desktop: Desktop, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as other, caplog.at_level(logging.INFO, "node"):
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = WebServer(desktop.front.app, Web(port=other.getsockname()[1]))
        server.start()
        server.stop()
    assert [record.message for record in caplog.records] == ["web_not_listening"]


def test_changes_are_streamed_until_the_server_stops(desktop: Desktop) -> None:
    port = free_port()
    server = WebServer(desktop.front.app, Web(port=port))
    server.start()
    with urllib.request.urlopen(f"http://localhost:{port}/events", timeout=20) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.readline() == b"retry: 3000\n"
        record = desktop.add("one")
        lines = iter(stream.readline, b"")
        assert next(line for line in lines if line != b"\n") == b"id: 1\n"
        assert next(lines) == b"event: series\n"
        assert json.loads(next(lines).removeprefix(b"data: ")) == {"keys": [record.key]}
        # a page that was loading meanwhile hears of it, too
        with urllib.request.urlopen(f"http://localhost:{port}/events?since=0", timeout=20) as late:
            assert b"event: series\n" in (late.readline() for _ in range(5))
        desktop.front.stop()
        server.stop()
        assert set(lines) <= {b"\n"}  # it ends


def certified(folder: Path) -> tuple[Path, Path]:
    key, path = folder / "web.key", folder / "web.pem"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", path)  # fmt: skip
    return path, key


def test_with_a_certificate_it_is_https_and_cookies_stay_on_it(tmp_path: Path) -> None:
    (certificate, key), port = certified(tmp_path), free_port()
    users = tmp_path / "users"
    write_users(users, {"alice": hash_password(PASSWORD)})
    settings = Web(port=port, users_file=users, certificate=certificate, key=key)
    desktop = make_desktop(tmp_path / "data", **settings.model_dump())
    server = WebServer(desktop.front.app, settings)
    server.start()
    form = f"name=alice&password={PASSWORD.replace(' ', '+')}&next=/healthz".encode()
    context = ssl.create_default_context(cafile=certificate)
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), urllib.request.HTTPCookieProcessor(jar)
    )
    with opener.open(f"https://localhost:{port}/login", form, timeout=30) as answer:
        assert answer.read() == b"alive\n"
        assert answer.headers["Strict-Transport-Security"]
    assert [(cookie.secure, cookie.name) for cookie in jar] == [(True, COOKIE)]
    server.stop()
    desktop.front.stop()


@pytest.mark.parametrize("wrong", ["certificate", "users_file"])
def test_what_cannot_be_used_is_said_before_anything_listens(tmp_path: Path, wrong: str) -> None:
    certificate, key = certified(tmp_path)
    values = {"certificate": certificate, "key": key}
    if wrong == "certificate":
        certificate.write_text("no certificate")
    else:
        values = {"users_file": tmp_path / "nobody"}
    with pytest.raises(ConfigError, match=values[wrong].name):
        make_desktop(tmp_path / "data", **values)
