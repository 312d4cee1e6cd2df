"""A node tells by webhook and mail what happens, loses nothing and names nobody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.config import NodeConfig
from node.errors import ConfigError
from node.notify.notice import Notice
from node.notify.outbox import Outbox, standing
from node.notify.sender import Sender
from node.notify.texts import SAMPLE, render_json, render_mail
from node.state import now_s
from tests.node.conftest import Site
from tests.node.double import DEFECT
from tests.node.receivers import Inbox, http_server, mail_server, server_context, text_of
from tests.node.series import PATIENT, PATIENT_ID, write_series
from tests.node.test_notices import config_with
from tests.node.test_tls import Certificates, certificates
from tests.peers import NodeProcess, free_port, peer, storescu, wait_for

__all__ = ["certificates"]

KEY = base64.b64encode(b"a key that nobody guesses").decode()
EVERY = ["result", "warning", "rejected", "failure", "dead-letter"]
FAST = {"first_delay_s": 0.1, "longest_delay_s": 0.5, "jitter": 0.0}


def secret(folder: Path, text: str) -> str:
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.secret"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def hook(port: int, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/hooks/1"
    return {"name": "hook", "kind": "webhook", "url": url, "events": EVERY, **more}


def no_patient(*texts: str) -> None:
    for text in texts:
        assert PATIENT not in text
        assert "PLANTED" not in text
        assert PATIENT_ID not in text


@pytest.mark.timeout(120)
def test_a_webhook_that_was_down_is_told_after_crashes(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    port = free_port()
    target = hook(port, secret_file=secret(tmp_path, f"whsec_{KEY}"))
    site = make_site(
        delivery=FAST, notifications=[target], web={"enabled": False, "url": "https://a.example"}
    )
    uid, files = write_series(tmp_path, "head")
    storescu(site.node.port, files)
    site.node.wait_for_state(uid, "DONE")
    failed = site.node.wait_for_event("notification_failed")
    assert (failed["series"], failed["destination"], failed["code"]) == (
        uid, "hook", "peer-timeout",
    )  # fmt: skip
    unanswered = killed_while_it_tells(site.node, port)
    with http_server(port) as inbox:
        (request,) = inbox.wait()
        # it may have been taken: the same id tells
        assert request.headers["webhook-id"] == unanswered.headers["webhook-id"]
        wait_for(lambda: site.node.events("notified"), what="it is noted")
        assert waiting(site.node) == 0
        again, more = write_series(tmp_path, "second")
        storescu(site.node.port, more)
        inbox.wait(2)
    assert [item.json()["series_uid"] for item in inbox.got] == [uid, again]
    told = request.json()
    assert (told["event"], told["quality"], told["state"]) == ("result", "pass", "DONE")
    (folder,) = {path.name for path in (site.node.data / "series").iterdir()} - {
        told_key(inbox.got[1])
    }
    assert told["link"] == f"https://a.example/series/{folder}"
    assert told["patient"] is None
    assert request.headers["webhook-id"] == told["id"]
    assert_signed(request)
    no_patient(request.body.decode(), site.node.log.read_text())


def killed_while_it_tells(node: NodeProcess, port: int) -> Any:
    """Kill a node before and while it tells; return what was not answered; start it again."""
    node.kill()
    with http_server(port) as hung:
        hung.may_answer.clear()
        node.start()
        (unanswered,) = hung.wait()
        node.kill()
    node.start()
    return unanswered


def told_key(request: Any) -> str:
    return str(request.json()["link"]).rpartition("/")[2]


def waiting(node: NodeProcess) -> int:
    return standing(node.data, ["hook"])["hook", "waiting"]


def assert_signed(request: Any) -> None:
    """Check the signature as a receiver does."""
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    digest = hmac.new(base64.b64decode(KEY), head.encode() + request.body, hashlib.sha256)
    assert (
        request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest.digest()).decode()}"
    )
    assert abs(int(request.headers["webhook-timestamp"]) - now_s()) < 60


@pytest.mark.timeout(120)
def test_mails_of_every_kind_name_nobody(
    make_site: Callable[..., Site], tmp_path: Path, certificates: Certificates
) -> None:
    port = free_port()
    mail = {
        "name": "mail", "kind": "mail", "host": "127.0.0.1", "port": port, "user": "aspects",
        "secret_file": secret(tmp_path, "open sesame"), "ca": str(certificates.ca),
        "sender": "aspects@example.org", "to": ["a@example.org", "b@example.org"], "events": EVERY,
    }  # fmt: skip
    site = make_site(
        delivery={**FAST, "give_up_after_s": 1.0},
        notifications=[mail],
        also_send_to=["away"],
        peers=[peer("away", "AWAY", free_port())],
    )
    context = server_context(*certificates.of("node"))
    with mail_server(port, context, "aspects", "open sesame") as inbox:
        uids = send_all(site.node, tmp_path)
        got = inbox.wait(4)
    mails = {}
    for is_protected, is_logged_in, envelope in got:
        assert (is_protected, is_logged_in) == (True, True)
        assert envelope.rcpt_tos == ["a@example.org", "b@example.org"]
        mail_found = text_of(envelope)
        mails[str(mail_found["Subject"])] = mail_found
        no_patient(envelope.content.decode())
    assert sorted(mails) == [
        "[ASPECTS] ASPECTS regions are at the PACS",
        "[ASPECTS] a series failed",
        "[ASPECTS] a series was rejected",
        "[ASPECTS] results were not delivered",
    ]
    lost = mails["[ASPECTS] results were not delivered"]
    assert lost["Auto-Submitted"] == "auto-generated"
    assert f"aspects-node retry {uids['good']} offers them again" in lost.get_content()
    assert "not a CT (unsupported-sop-class)" in (
        mails["[ASPECTS] a series was rejected"].get_content()
    )
    no_patient(site.node.log.read_text())


def send_all(node: NodeProcess, folder: Path) -> dict[str, str]:
    """Send a series for each end."""
    uids = {}
    for name, modality, wish in (("good", "CT", ""), ("mr", "MR", ""), ("bad", "CT", DEFECT)):
        uids[name], files = write_series(folder, name, modality=modality, protocol=wish)
        storescu(node.port, files)
    return uids


class Alone:
    """A sender without a node."""

    def __init__(self, folder: Path, target: dict[str, Any]) -> None:
        self.config: NodeConfig = config_with(target, folder=folder)
        self.outbox = Outbox(folder, "hook")
        self.sender = Sender(self.config, self.config.notifications[0], self.outbox)
        self.folder = folder

    def put(self, name: str = "a", at: float | None = None) -> None:
        self.outbox.put(
            Notice(
                id=name, event="failure", at=now_s() if at is None else at, key="key",
                series_uid="1.2.3", study_uid="1.2", generation=1, state="FAILED",
            )
        )  # fmt: skip

    def standing(self) -> tuple[int, int]:
        found = standing(self.folder, ["hook"])
        return found["hook", "waiting"], found["hook", "failed"]


@pytest.fixture
def server() -> Any:
    with http_server() as inbox:
        yield inbox


@pytest.mark.parametrize(
    ("answer", "stands", "said"),
    [
        (204, (0, 0), "notified"),
        (422, (0, 1), "notification_refused"),
        (404, (1, 0), "notification_failed"),
        (500, (1, 0), "notification_failed"),
        (302, (1, 0), "notification_failed"),
    ],
)
def test_what_an_answer_means(
    tmp_path: Path, server: Inbox, caplog: pytest.LogCaptureFixture,
    answer: int, stands: tuple[int, int], said: str,
) -> None:  # fmt: skip
    server.answer = answer
    alone = Alone(tmp_path, hook(server.port))
    alone.put()
    with caplog.at_level(logging.INFO):
        alone.sender.send_due()
    assert alone.standing() == stands
    assert said in caplog.messages


def test_one_that_fails_keeps_no_other_waiting(tmp_path: Path, server: Inbox) -> None:
    server.answer = 500
    alone = Alone(tmp_path, hook(server.port))
    alone.put("first", at=now_s() - 2)
    alone.sender.send_due()
    server.answer = 200
    alone.put("second")
    alone.sender.send_due()
    assert [item.id for item in alone.outbox.waiting()] == ["first"]


def test_one_that_cannot_be_reached_is_asked_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = Alone(tmp_path, hook(free_port()))
    for name in "abc":
        alone.put(name)
    alone.sender.send_due()
    alone.sender.send_due()
    assert len(caplog.messages) == 1
    assert sum(item.attempts for item in alone.outbox.waiting()) == 1


def test_the_delay_survives_a_restart(tmp_path: Path) -> None:
    target = hook(free_port())
    alone = Alone(tmp_path, target)
    alone.put()
    alone.sender.send_due()
    (kept,) = Alone(tmp_path, target).outbox.waiting()
    assert kept.attempts == 1
    assert kept.next_attempt > now_s() + 2


def test_what_is_too_old_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alone = Alone(tmp_path, hook(free_port(), give_up_after_s=60.0))
    alone.put(at=now_s() - 59)
    alone.sender.send_due()
    assert alone.standing() == (0, 1)
    assert caplog.messages == ["notification_given_up"]


def test_a_clock_that_was_set_back_does_not_keep_it(tmp_path: Path, server: Inbox) -> None:
    alone = Alone(tmp_path, hook(server.port))
    alone.put()
    (notice,) = alone.outbox.waiting()
    alone.outbox.keep(notice.model_copy(update={"next_attempt": now_s() + 86400}))
    alone.sender.send_due()
    assert alone.standing() == (0, 0)


def test_a_secret_that_is_missing_is_waited_for(
    tmp_path: Path, server: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    alone = Alone(tmp_path, hook(server.port, secret_env="ASPECTS_NOT_SET"))
    alone.put()
    alone.sender.send_due()
    assert alone.standing() == (1, 0)
    assert server.got == []
    assert caplog.messages == ["notification_failed"]


def test_own_templates(tmp_path: Path, server: Inbox) -> None:
    path = tmp_path / "chat.json"
    path.write_text('{"text": {{ (event ~ " of " ~ series_uid)|tojson }}}')
    alone = Alone(tmp_path, hook(server.port, template=str(path)))
    alone.put()
    alone.sender.send_due()
    assert server.got[0].json() == {"text": "failure of 1.2.3"}
    path.write_text("Subject: {{ event }}\n\nLook at {{ link or series_uid }}.")
    assert render_mail(path, SAMPLE) == ("warning", "Look at 1.2.3.4.\n")
    with pytest.raises(ConfigError, match="makes no JSON"):
        render_json(path, SAMPLE)
    path.write_text("{{ patinet.name }}")
    with pytest.raises(ConfigError, match="UndefinedError"):
        render_mail(path, SAMPLE)


def test_whom_it_shows_goes_along_where_that_is_wanted(tmp_path: Path, server: Inbox) -> None:
    alone = Alone(tmp_path, hook(server.port, include_patient=True))
    folder = tmp_path / "series/key/images"
    _, files = write_series(folder, "a", 1, PatientName="Ünal^Eva", PatientBirthDate="19500102",
                            AccessionNumber="A1", SpecificCharacterSet="ISO_IR 100")  # fmt: skip
    assert dcmread(files[0]).PatientID == PATIENT_ID
    alone.put()
    alone.sender.send_due()
    assert server.got[0].json()["patient"] == {
        "name": "Ünal, Eva", "id": PATIENT_ID, "birth_date": "19500102", "sex": "",
        "accession_number": "A1", "study_date": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "password", "stands"),
    [
        ("250 OK", "right", (0, 0)),
        ("554 no", "right", (0, 1)),
        ("451 later", "right", (1, 0)),
        ("250 OK", "wrong", (1, 0)),
    ],
)
def test_what_a_mail_server_answers(
    tmp_path: Path, certificates: Certificates, answer: str, password: str,
    stands: tuple[int, int],
) -> None:  # fmt: skip
    port = free_port()
    target = {
        "name": "hook", "kind": "mail", "host": "127.0.0.1", "port": port, "user": "u",
        "secret_file": secret(tmp_path, password), "ca": str(certificates.ca),
        "sender": "a@example.org", "to": ["b@example.org"],
    }  # fmt: skip
    alone = Alone(tmp_path, target)
    alone.put()
    with ExitStack() as stack:
        context = server_context(*certificates.of("node"))
        stack.enter_context(mail_server(port, context, "u", "right", answer))
        alone.sender.send_due()
    assert alone.standing() == stands


def test_a_mail_server_that_a_stranger_vouches_for_gets_no_password(
    tmp_path: Path, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    target = {
        "name": "hook", "kind": "mail", "host": "127.0.0.1", "port": port, "user": "u",
        "secret_file": secret(tmp_path, "p"), "ca": str(certificates.ca),
        "sender": "a@example.org", "to": ["b@example.org"],
    }  # fmt: skip
    alone = Alone(tmp_path, target)
    alone.put()
    context = server_context(*certificates.of("stranger"))
    with mail_server(port, context, "u", "p") as inbox:
        alone.sender.send_due()
    assert (inbox.got, alone.standing()) == ([], (1, 0))
    assert "check ca" in json.dumps([vars(item).get("reason") for item in caplog.records])
