"""Who may come in, from where, and what an answer allows a browser."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from node.web import accounts
from node.web.accounts import hash_password, write_users
from node.web.settings import Web
from tests.web.fronts import Desktop, make_desktop

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_COST", (1 << 10, 8, 1))


@pytest.fixture
def guarded(tmp_path: Path) -> Desktop:
    """A web part with one user."""
    users = tmp_path / "users"
    write_users(users, {"alice": hash_password(PASSWORD)})
    return make_desktop(tmp_path / "data", users_file=users)


def test_every_answer_forbids_inline_scripts_and_frames(desktop: Desktop) -> None:
    for path in ("/", "/api/v1/series", "/static/style.css", "/nothing", "/metrics"):
        headers = desktop.client().get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_pages_are_not_kept_by_browsers(desktop: Desktop) -> None:
    assert desktop.client().get("/").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ],
)
def test_another_sites_page_can_ask_for_nothing(desktop: Desktop, headers: dict[str, str]) -> None:
    record = desktop.add("one")
    answer = desktop.client(**headers).post(f"/api/v1/series/{record.key}/resend")
    assert answer.status_code == 403
    assert desktop.client(**headers).post(f"/series/{record.key}/resend").status_code == 403
    assert not desktop.wishes()


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}]
)
def test_our_own_page_can(desktop: Desktop, headers: dict[str, str]) -> None:
    record = desktop.add("one")
    answer = desktop.client(**headers).post(f"/series/{record.key}/resend")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"/series/{record.key}?asked=resend",
    )
    assert desktop.wishes()


def test_a_foreign_name_of_this_machine_is_refused(desktop: Desktop) -> None:
    # what a page does that rebinds its own name to 127.0.0.1
    assert desktop.client("http://evil.example").get("/api/v1/series").status_code == 421
    assert desktop.client("http://127.0.0.1:11180").get("/api/v1/series").status_code == 200


def test_without_a_log_in_nothing_is_shown(guarded: Desktop) -> None:
    client = guarded.client()
    for path in ("/api/v1/series", "/metrics", "/system", "/events", "/api/v1/openapi.json"):
        assert client.get(path).status_code == 401, path
    page = client.get("/peers", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Location"]) == (303, "/login?next=/peers")
    for path in ("/login", "/healthz", "/readyz", "/static/style.css"):
        assert client.get(path).status_code == 200, path


def test_a_session_begins_and_ends(guarded: Desktop) -> None:
    client = guarded.client()
    form = {"name": "alice", "password": PASSWORD, "next": "/peers"}
    answer = client.post("/login", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/peers")
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/v1/series").status_code == 200
    record = guarded.add("one")
    client.post(f"/api/v1/series/{record.key}/resend")
    assert guarded.wishes()[f"{record.key}.resend"] == "\nalice"
    client.post("/logout")
    assert client.get("/api/v1/series").status_code == 401


def test_a_user_who_was_taken_out_is_out_at_once(guarded: Desktop, tmp_path: Path) -> None:
    client = guarded.client()
    client.post("/login", data={"name": "alice", "password": PASSWORD})
    write_users(tmp_path / "users", {})
    assert client.get("/api/v1/series").status_code == 401


@pytest.mark.parametrize("name", ["alice", "nobody", ""])
def test_a_wrong_password_is_refused_alike(guarded: Desktop, name: str) -> None:
    answer = guarded.client().post("/login", data={"name": name, "password": "wrong"})
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text


def test_guessing_is_stopped(guarded: Desktop) -> None:
    client = guarded.client()
    for _ in range(5):
        client.post("/login", data={"name": "alice", "password": "wrong"})
    answer = client.post("/login", data={"name": "alice", "password": PASSWORD})
    assert answer.status_code == 429


def test_programs_send_name_and_password(guarded: Desktop) -> None:
    header = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    good = guarded.client(Authorization=f"Basic {header}")
    assert good.get("/api/v1/series").status_code == 200
    for wrong in ("Basic YWxpY2U6d3Jvbmc=", "Basic %%%", "Bearer x", "Basic"):
        assert guarded.client(Authorization=wrong).get("/api/v1/series").status_code == 401


@pytest.mark.parametrize("goal", ["https://evil.example", "//evil.example", "/\\evil.example", "x"])
def test_a_log_in_never_leads_elsewhere(guarded: Desktop, goal: str) -> None:
    form = {"name": "alice", "password": PASSWORD, "next": goal}
    assert guarded.client().post("/login", data=form).headers["Location"] == "/"


def test_a_proxy_is_believed_where_it_is_trusted(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"proxy_header": "X-Remote-User"}
    trusting = make_desktop(tmp_path / "a", trusted_proxies=["127.0.0.1"], **settings)
    named = trusting.client("http://aspects.example", **{"X-Remote-User": "bob"})
    assert named.get("/api/v1/series").status_code == 200
    assert trusting.client("http://aspects.example").get("/api/v1/series").status_code == 401
    other = make_desktop(tmp_path / "b", trusted_proxies=["10.0.0.9"], **settings)
    assert other.client(**{"X-Remote-User": "bob"}).get("/api/v1/series").status_code == 401


@pytest.mark.parametrize(
    "values",
    [
        {"host": "0.0.0.0"},
        {"host": "10.0.0.5", "users_file": "users"},
        {"host": "::"},
        {"proxy_header": "X-Remote-User"},
        {"trusted_proxies": ["10.0.0.1"]},
        {"certificate": "a.pem"},
    ],
)
def test_an_unguarded_exposure_is_a_configuration_error(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Web(**values)


def test_the_users_file_is_the_owners_alone_and_holds_no_password(tmp_path: Path) -> None:
    path = tmp_path / "users"
    write_users(path, {"alice": hash_password(PASSWORD)})
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text()


def test_text_of_a_peer_is_never_markup(desktop: Desktop) -> None:
    record = desktop.add("one")
    with desktop.ledger.change(record.key) as changed:
        changed.calling_ae = "<script>x"
        changed.generations[0].reason = "<img src=x onerror=alert(1)>"
    for path in ("/", f"/series/{record.key}"):
        html = desktop.client().get(path, headers={"Accept": "text/html"}).text
        assert "<script>x" not in html
        assert "<img src=x" not in html


def test_who_saw_a_series_and_who_logged_in_is_accounted_for(guarded: Desktop) -> None:
    client = guarded.client()
    client.post("/login", data={"name": "alice", "password": "wrong"})
    client.post("/login", data={"name": "alice", "password": PASSWORD})
    record = guarded.add("one")
    page = f"/series/{record.key}"
    client.get(page, headers={"Sec-Fetch-Dest": "document"})
    client.get(page, headers={"Sec-Fetch-Dest": "empty"})  # it loads itself again
    found = [(item.what, item.by, str(item.outcome)) for item in guarded.accounts]
    assert found == [
        ("logged_in", "alice", "4"),
        ("logged_in", "alice", "0"),
        ("viewed", "alice", "0"),
    ]
    assert guarded.accounts[-1].series_uid == record.series_uid
