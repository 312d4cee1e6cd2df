"""The REST API: what it shows, what it asks for, what it refuses."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from node.state import State, series_key
from tests.web.fronts import Desktop


def test_the_newest_series_come_first_in_parts(desktop: Desktop) -> None:
    for number in range(5):
        desktop.add(str(number))
        with desktop.ledger.change(series_key(f"1.2.{number}")) as record:
            record.first_received = 1000.0 + number
    found = desktop.client().get("/api/v1/series?first=1&count=2").json()
    assert [row["series_uid"] for row in found["series"]] == ["1.2.3", "1.2.2"]
    assert found["total"] == 5


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("group=attention", {"bad"}),
        ("group=working", {"late"}),
        ("group=done", {"good"}),
        ("text=1.2.good", {"good"}),
        ("text=ct1", {"good", "bad", "late"}),
        ("text=nothing", set()),
    ],
)
def test_the_list_can_be_narrowed(desktop: Desktop, query: str, names: set[str]) -> None:
    desktop.add("good")
    desktop.add("bad", State.REJECTED, code="contrast", reason="contrast was given")
    desktop.add("late", State.QUEUED)
    found = desktop.client().get(f"/api/v1/series?{query}").json()
    assert {row["series_uid"] for row in found["series"]} == {f"1.2.{name}" for name in names}
    assert found["counts"] == {"all": 3, "working": 1, "done": 1, "attention": 1}


def test_a_series_shows_deliveries_and_history(desktop: Desktop) -> None:
    record = desktop.add("one")
    found = desktop.client().get(f"/api/v1/series/{record.key}").json()
    assert found["details"][0]["objects"] == [
        {"name": "seg.dcm", "status": "0x0000", "text": "Success", "stored": True}
    ]
    assert [item["what"] for item in found["history"]] == ["DONE"]
    assert found["refusals"]["cancel"] == "the series is DONE: nothing to stop"


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/series/{'0' * 24}",
        f"/api/v1/series/{'0' * 24}/1/result",
        f"/api/v1/series/{'0' * 24}/1/outlines",
    ],
)
def test_what_there_is_not_is_404(desktop: Desktop, path: str) -> None:
    answer = desktop.client().get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "there is no such series"})


@pytest.mark.parametrize("key", ["..%2f..%2fetc", "A" * 24, "short"])
def test_a_key_is_never_a_path(desktop: Desktop, key: str) -> None:
    assert desktop.client().get(f"/api/v1/series/{key}").status_code in {404, 422}


@pytest.mark.parametrize(
    ("path", "body", "wish"),
    [
        ("resend?to=pacs", None, "pacs\nweb"),
        ("resend", None, "\nweb"),
        ("reprocess", None, "\nweb"),
        ("levels", {"ganglionic": 0, "supraganglionic": 2}, "0,2\nweb"),
    ],
)
def test_what_is_asked_for_is_left_for_the_node(
    desktop: Desktop, path: str, body: dict[str, Any] | None, wish: str
) -> None:
    record = desktop.add("one")
    verb = path.partition("?")[0]
    answer = desktop.client().post(f"/api/v1/series/{record.key}/{path}", json=body)
    assert (answer.status_code, answer.json()) == (202, {"series": record.key, "asked": verb})
    assert desktop.wishes() == {f"{record.key}.{verb}": wish}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("cancel", None),
        ("retry", None),
        ("resend?to=nobody", None),
        ("levels", {"ganglionic": 2, "supraganglionic": 1}),
        ("levels", {"ganglionic": 0, "supraganglionic": 3}),
    ],
)
def test_what_cannot_be_now_is_409(
    desktop: Desktop, path: str, body: dict[str, Any] | None
) -> None:
    record = desktop.add("one")
    answer = desktop.client().post(f"/api/v1/series/{record.key}/{path}", json=body)
    assert answer.status_code == 409
    assert not desktop.wishes()


def test_an_unknown_peer_is_404(desktop: Desktop) -> None:
    assert desktop.client().post("/api/v1/peers/nobody/echo").status_code == 404


def test_the_system_says_how_many_wait_to_be_told(desktop: Desktop) -> None:
    waiting = desktop.folder / "notifications/chat"
    (waiting / "failed").mkdir(parents=True)
    for name in ("a.json", "b.json", "failed/c.json"):
        (waiting / name).touch()
    client = desktop.client()
    assert client.get("/api/v1/system").json()["notifications"] == [
        {"name": "chat", "kind": "webhook", "waiting": 2, "failed": 1}
    ]
    assert "webhook, 2 waiting, 1 put aside" in client.get("/system").text
    counts = client.get("/metrics").text
    assert 'aspects_node_notifications{state="waiting",target="chat"} 2.0' in counts


def test_the_system_names_atlas_weights_and_versions(desktop: Desktop) -> None:
    found = desktop.client().get("/api/v1/system").json()
    assert found["atlas"] == "aspects-281"
    assert found["weights"]
    assert all(len(sha) == 64 for sha in found["weights"].values())
    assert found["versions"]["aspects-node"]
    assert found["worker_pids"] == [1, 2]


def test_health_and_readiness(desktop: Desktop) -> None:
    client = desktop.client()
    assert client.get("/healthz").text == "alive\n"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    stuck = desktop.add("stuck", State.RECEIVING)
    desktop.front.desk.readiness()
    assert stuck.state is State.RECEIVING


def test_changes_are_told_in_order(desktop: Desktop) -> None:
    first, second = desktop.add("first"), desktop.add("second")
    changes = desktop.front.desk.changes
    seen = changes.number
    assert changes.since(0) == [second.key, first.key]
    with desktop.ledger.change(first.key) as record:
        record.generations[0].quality = "warn"
    assert changes.since(seen) == [first.key]
    assert changes.since(changes.number) == []


def test_a_long_worklist_has_pages(desktop: Desktop) -> None:
    for number in range(60):
        desktop.add(f"{number:03d}")
    client = desktop.client(Accept="text/html")
    first = client.get("/").text
    assert first.count('<th scope="row">') == 50
    link = re.search(r'rel="next" href="([^"]+)"', first)
    assert link is not None
    second = client.get(html.unescape(link[1])).text
    assert second.count('<th scope="row">') == 10
    assert 'rel="prev"' in second
    assert 'rel="next"' not in second
