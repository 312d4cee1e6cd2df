"""Results go out and series come in by DICOMweb; Orthanc's plugin is the peer."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import Dataset, dcmread

from node.config import make_config
from node.dicomweb import make_gate
from node.dicomweb_server import DicomwebServer
from node.errors import ConfigError, PeerTimeoutError, StoreRefusedError, WebError
from node.inbox import Inbox
from node.incoming import arrivals
from node.multipart import BodyError, boundary_of
from node.state import Ledger
from node.stow import send
from tests.node.conftest import DOUBLE, Site
from tests.node.series import study_of, write_series
from tests.node.test_tls import Certificates, certificates
from tests.peers import NodeProcess, Orthanc, free_port, is_listening, storescu, wait_for

__all__ = ["certificates"]

SECRET = "correct horse battery staple"


def url_of(orthanc: Orthanc) -> str:
    return f"http://127.0.0.1:{orthanc.http}/dicom-web"


def part10(mark: str, *files: bytes) -> bytes:
    """Return a multipart body."""
    parts = (f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode() + f for f in files)
    return b"\r\n".join(parts) + f"\r\n--{mark}--\r\n".encode()


@dataclass
class Desk:
    """The node's STOW-RS server in this process, and what it did."""

    folder: Path
    port: int
    stored: list[Path] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def left(self) -> list[Path]:
        """Return what would be found after a restart, and was not told as stored."""
        return sorted(set(arrivals(self.folder / "incoming")) - set(self.stored))

    def post(self, body: bytes, path: str = "", scheme: str = "http", **more: Any) -> Any:
        headers = {
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=mark',
            **more.pop("headers", {}),
        }
        url = f"{scheme}://127.0.0.1:{self.port}/dicom-web/studies{path}"
        return requests.post(url, data=body, headers=headers, timeout=20, **more)


class Heard:
    """What the assembly would hear."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def stored(self, path: Path, association: int) -> None:
        assert association < 0
        self.desk.stored.append(path)

    def closed(self, association: int) -> None:
        self.desk.closed.append(association)


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Return a function that starts a server; its settings as in a configuration."""
    servers: list[DicomwebServer] = []

    def make(dicomweb: dict[str, Any] | None = None, **config: Any) -> Desk:
        port = free_port()
        folder = tmp_path / f"desk-{port}"
        table = {"enabled": True, "port": port, **(dicomweb or {})}
        values = {"accept_unknown_callers": True, "min_free_disk": 0, **config, "dicomweb": table}
        settings = make_config(values, tmp_path / "node.toml")
        desk = Desk(folder, port)
        inbox = Inbox(folder, Ledger(folder / "series"), settings.min_free_disk)
        refused = desk.refused
        gate = make_gate(settings, inbox, Heard(desk), lambda name, _: refused.append(name))
        servers.append(DicomwebServer(gate))
        servers[-1].start()
        wait_for(lambda: is_listening(port), what="STOW-RS")
        return desk

    yield make
    for server in servers:
        server.stop()


def test_results_go_to_an_archive_by_stow_when_it_is_there(
    make_orthanc: Callable[..., Orthanc], make_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    orthanc = make_orthanc({}, dicom_web=True)
    away = {"name": "archive", "ae_title": "ARCHIVE", "stow_url": url_of(orthanc)}
    delivery = {"first_delay_s": 0.5, "longest_delay_s": 0.5}
    node = make_node(DOUBLE, default_peer="archive", peers=[away], delivery=delivery)
    node.start()
    uid, files = write_series(tmp_path, "head")
    storescu(node.port, files)
    node.wait_for_event("delivery_failed", series=uid, code="peer-timeout")
    orthanc.start()
    row = node.wait_for_state(uid, "DONE")
    statuses = row["deliveries"]["archive"]["statuses"]
    assert statuses == {"seg.dcm": "0x0000", "sr.dcm": "0x0000"}
    assert orthanc.modalities() == ["SEG", "SR"]
    # the same again does no harm; and by DICOM the peer cannot be called
    assert node.run("resend", uid).returncode == 0
    wait_for(lambda: len(node.events("delivered")) == 2, what="delivered again")
    assert orthanc.modalities() == ["SEG", "SR"]
    answer = node.run("echo", "archive")
    assert (answer.returncode, "no host and port" in answer.stderr) == (2, True)


def test_archive_says_of_each_object_what_became_of_it(
    make_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    orthanc = make_orthanc(
        {},
        dicom_web=True,
        AuthenticationEnabled=True,
        RegisteredUsers={"node": SECRET},
    )
    orthanc.start()
    _, (path, *_) = write_series(tmp_path, "head")
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "broken.dcm").write_bytes(path.read_bytes()[:1000])
    table = {"name": "a", "ae_title": "A", "stow_url": url_of(orthanc), "stow_user": "node"}
    told: list[tuple[str, int]] = []

    def offer(file: Path, **more: Any) -> None:
        config = make_config({"peers": [{**table, **more}]}, tmp_path / "node.toml")
        send(config, config.peer("a"), [[file]], lambda *answer: told.append(answer))

    offer(path, stow_secret_file="secret")
    assert told == [(path.name, 0)]
    with pytest.raises(WebError, match="401"):
        offer(path)
    with pytest.raises(PeerTimeoutError):
        offer(path, stow_url=f"http://127.0.0.1:{free_port()}")
    assert len(told) == 1, "nothing is told of what was not answered"
    with pytest.raises(ConfigError, match="no secret"):
        offer(path, stow_secret_env="NOT_SET_ANYWHERE")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        offer(path, stow_secret_file="secret")


def test_refused_object_ends_the_delivery(make_desk: Callable[..., Desk], tmp_path: Path) -> None:
    """The node's own STOW-RS is the archive: it says what it does not take."""
    table = {"name": "a", "ae_title": "A", "stow_url": make_desk().url}
    config = make_config({"peers": [table]}, tmp_path / "node.toml")
    _, (good, *_) = write_series(tmp_path, "head")
    bad = tmp_path / "bad.dcm"
    dataset = dcmread(good)
    dataset.StudyInstanceUID = ""
    del dataset.SOPClassUID
    dataset.save_as(bad)
    told: dict[str, int] = {}
    with pytest.raises(StoreRefusedError) as raised:
        send(config, config.peer("a"), [[good, bad]], told.__setitem__)
    assert raised.value.status == 0xC000
    assert told == {good.name: 0, "bad.dcm": 0xC000}


class Scripted(BaseHTTPRequestHandler):
    """An archive that supports some classes only, or answers as it is told."""

    refused = b"1.2.840.10008.5.1.4.1.1.66.7"
    answer: tuple[int, bytes] | None = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, text = self.answer or self._judge(body)
        self.send_response(status)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _judge(self, body: bytes) -> tuple[int, bytes]:
        file = body.partition(b"\r\n\r\n")[2]
        dataset = dcmread(BytesIO(file), stop_before_pixels=True)
        item = Dataset()
        item.ReferencedSOPClassUID = dataset.SOPClassUID
        item.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
        told = Dataset()
        if self.refused in body:
            item.FailureReason = 0x0122
            told.FailedSOPSequence = [item]
            return 409, told.to_json().encode()
        item.WarningReason = 0xB000
        told.ReferencedSOPSequence = [item]
        return 202, f"[{told.to_json()}]".encode()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def scripted() -> Iterator[tuple[type[Scripted], str]]:
    handler = type("Handler", (Scripted,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_class_that_the_archive_does_not_support_is_replaced(
    scripted: tuple[type[Scripted], str], tmp_path: Path
) -> None:
    _, url = scripted
    table = {"name": "a", "ae_title": "A", "stow_url": url}
    config = make_config({"peers": [table]}, tmp_path / "node.toml")
    labelmap = "1.2.840.10008.5.1.4.1.1.66.7"
    _, (sr, other) = write_series(tmp_path, "sr", 2)
    _, (seg,) = write_series(tmp_path, "labelmap", 1, sop_class=labelmap)
    told: list[tuple[str, int]] = []
    peer_a = config.peer("a")
    send(config, peer_a, [[sr, seg], [sr, other]], lambda *answer: told.append(answer))
    assert told == [(sr.name, 0xB000), (seg.name, 0x0122), (other.name, 0xB000)]
    # nothing goes instead: it is passed over
    told.clear()
    send(config, peer_a, [[seg, sr], [seg, other]], lambda *answer: told.append(answer))
    assert told == [(seg.name, 0x0122), (sr.name, 0xB000)]


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (202, b"<html>"), (307, b""), (409, b"[]"), (202, b"{}")]
)
def test_answer_that_does_not_say_stored_is_a_failure(
    status: int, body: bytes, scripted: tuple[type[Scripted], str], tmp_path: Path
) -> None:
    handler, url = scripted
    handler.answer = (status, body)
    table = {"name": "a", "ae_title": "A", "stow_url": url}
    config = make_config({"peers": [table]}, tmp_path / "node.toml")
    _, (path,) = write_series(tmp_path, "one", 1)
    with pytest.raises(WebError, match=f"HTTP {status}"):
        send(config, config.peer("a"), [[path]], lambda *answer: pytest.fail(str(answer)))


def test_archive_sends_a_series_by_stow(
    make_orthanc: Callable[..., Orthanc], make_site: Callable[..., Site], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "secret").chmod(0o600)
    port = free_port()
    table = {"enabled": True, "port": port, "secret_file": str(tmp_path / "secret")}
    site = make_site(dicomweb=table)
    orthanc = make_orthanc(
        {},
        dicom_web=True,
        DicomWeb={
            "Enable": True,
            "Root": "/dicom-web/",
            "Servers": {"node": [f"http://127.0.0.1:{port}/dicom-web/", "orthanc", SECRET]},
        },
    )
    orthanc.start()
    uid, files = write_series(tmp_path, "head", 5)
    orthanc.add(files)
    (series,) = orthanc.get("/series")
    body = json.dumps({"Resources": [series], "Synchronous": True}).encode()
    orthanc.post("/dicom-web/servers/node/stow", body)
    row = site.node.wait_for_state(uid, "DONE")
    assert (row["images"], row["calling_ae"]) == (5, "DICOMWEB")
    kept = {
        str(item.SOPInstanceUID): item
        for item in map(dcmread, (site.node.data / "series").glob("*/images/*.dcm"))
    }
    sent = {str(item.SOPInstanceUID): item for item in map(dcmread, files)}
    assert kept == sent, "not an element was changed"
    assert len(site.pacs.wait_for(2)) == 2


def test_each_object_of_a_request_has_its_status(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk(max_object=1 << 20)
    _, files = write_series(tmp_path, "head", 2)
    _, (huge,) = write_series(tmp_path, "huge", 1, size=800)
    contents = [path.read_bytes() for path in files]
    body = part10("mark", *contents, b"no DICOM at all" * 20, huge.read_bytes())
    answer = desk.post(body)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/dicom+json"
    told = Dataset.from_json(answer.text)
    assert len(told.ReferencedSOPSequence) == 2
    (large,) = told.FailedSOPSequence
    assert large.FailureReason == 0xA700
    (other,) = told.OtherFailuresSequence
    assert other.FailureReason == 0xC000
    assert [dcmread(path) for path in desk.stored] == [dcmread(path) for path in files]
    assert not desk.left()
    assert desk.closed == [-1]

    # the same again: the sorting finds the duplicates; into another study: refused
    assert desk.post(part10("mark", *contents)).status_code == 200
    assert desk.post(body, f"/{study_of('head')}").status_code == 202
    assert desk.post(part10("mark", *contents), "/1.2.3").status_code == 409
    assert len(desk.stored) == 6
    assert not desk.left()


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ('multipart/related; type="application/dicom+json"; boundary=mark', b"", 415),
        ('multipart/related; type="application/dicom"', b"", 415),
        ('multipart/related; type="application/dicom"; boundary=mark', b"not a part", 400),
        ('multipart/related; type="application/dicom"; boundary=mark', b"--mark\r\n\r\nx", 400),
        ('multipart/related; type="application/dicom"; boundary=mark', b"--mark--\r\n", 400),
    ],
)
def test_malformed_requests(
    content_type: str, body: bytes, status: int, make_desk: Callable[..., Desk]
) -> None:
    desk = make_desk()
    answer = desk.post(body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert not desk.stored
    assert not desk.left()


def test_client_that_goes_away_in_the_middle_leaves_nothing_half(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk()
    _, files = write_series(tmp_path, "head", 2)
    body = part10("mark", *(path.read_bytes() for path in files))
    with socket.create_connection(("127.0.0.1", desk.port)) as client:
        head = (
            "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n"
            'Content-Type: multipart/related; type="application/dicom"; boundary=mark\r\n'
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body[:-2000])
        wait_for(lambda: desk.stored, what="the first object")
    wait_for(lambda: desk.closed, what="the end")
    assert [dcmread(path) for path in desk.stored] == [dcmread(files[0])]
    assert not desk.left()


def test_callers_without_the_secret_are_refused(
    make_desk: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOW_SECRET", SECRET)
    desk = make_desk({"secret_env": "STOW_SECRET"})
    _, (path, *_) = write_series(tmp_path, "head")
    body = part10("mark", path.read_bytes())

    def status(authorization: str) -> int:
        headers = {"Authorization": authorization} if authorization else {}
        return int(desk.post(body, headers=headers).status_code)

    basic = base64.b64encode(f"anybody:{SECRET}".encode()).decode()
    wrong = base64.b64encode(b"anybody:wrong").decode()
    bad = ("", "Bearer wrong", f"Basic {wrong}", "Basic \xe4")
    assert [status(item) for item in bad] == [401] * 4
    assert not desk.stored
    assert len(desk.refused) == 4
    assert [status(f"Bearer {SECRET}"), status(f"Basic {basic}")] == [200, 200]


@pytest.mark.parametrize(
    ("config", "status"),
    [({"accept_unknown_callers": False}, 403), ({"min_free_disk": 1 << 60}, 503)],
)
def test_unknown_senders_and_a_full_disk_are_refused(
    config: dict[str, Any], status: int, make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk(**config)
    _, (path, *_) = write_series(tmp_path, "head")
    assert desk.post(part10("mark", path.read_bytes())).status_code == status
    assert not desk.left()


def test_https_with_client_certificates_in_both_directions(
    make_desk: Callable[..., Desk], certificates: Certificates, tmp_path: Path
) -> None:
    desk = make_desk({"tls": True}, tls=certificates.node)
    certificate, key = certificates.of("dcmtk")
    away = {"name": "a", "ae_title": "A", "stow_url": desk.url.replace("http", "https")}
    tls = {"certificate": str(certificate), "key": str(key), "ca": str(certificates.ca)}
    config = make_config({"peers": [away], "tls": tls}, tmp_path / "node.toml")
    _, (path, *_) = write_series(tmp_path, "head")
    told: dict[str, int] = {}
    send(config, config.peer("a"), [[path]], told.__setitem__)
    assert told == {path.name: 0}
    # a server that another authority signed is not spoken to
    other = {**tls, "ca": str(certificates.folder / "stranger-ca.pem")}
    strange = make_config({"peers": [away], "tls": other}, tmp_path / "node.toml")
    with pytest.raises(WebError, match="TLS"):
        send(strange, strange.peer("a"), [[path]], told.__setitem__)
    # without a certificate that the authority signed there is no connection
    for cert in (None, tuple(map(str, certificates.of("stranger")))):
        with pytest.raises(requests.exceptions.ConnectionError):
            desk.post(b"", scheme="https", verify=str(certificates.ca), cert=cert)
    assert len(desk.stored) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"dicomweb": {"enabled": True, "host": "0.0.0.0"}}, "tls is needed"),
        ({"dicomweb": {"tls": True}}, "certificate and key"),
        (
            {"dicomweb": {"tls": True}, "tls": {"certificate": "c", "key": "k"}},
            "a secret, or ca",
        ),
        ({"peers": [{"name": "a", "ae_title": "A", "stow_url": "ftp://x"}]}, "stow_url"),
        ({"peers": [{"name": "a", "ae_title": "A", "stow_url": "http://u:p@x/"}]}, "stow_url"),
        (
            {"peers": [{"name": "a", "ae_title": "A", "stow_url": "http://x", "commit": True}]},
            "need host and port",
        ),
        (
            {
                "peers": [
                    {"name": "a", "ae_title": "A", "stow_url": "http://x", "stow_secret_env": "S"}
                ]
            },
            "https",
        ),
    ],
)
def test_unsafe_configurations_are_refused(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        make_config(values, Path("node.toml"))


def test_boundary_of_a_body() -> None:
    assert boundary_of('Multipart/Related; type=application/dicom; boundary="a b"') == "a b"
    with pytest.raises(BodyError):
        boundary_of("")
