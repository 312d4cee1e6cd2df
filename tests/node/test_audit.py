"""The audit trail: who sent, got and was refused what, without a patient's name."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.audit import AuditTrail
from node.audit_message import Happened
from node.config import NodeConfig, make_config
from node.errors import ConfigError
from tests.node.conftest import Site
from tests.node.series import PATIENT, PATIENT_ID, study_of, write_series
from tests.node.test_tls import Certificates, certificates
from tests.peers import storescu, wait_for

__all__ = ["certificates"]


def messages(folder: Path) -> list[dict[str, Any]]:
    text = "".join(path.read_text() for path in sorted((folder / "audit").glob("*.jsonl")))
    return [json.loads(line) for line in text.splitlines()]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [item["EventIdentification"]["EventID"]["originalText"] for item in found]


def test_trail_of_a_series_and_of_a_stranger(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        syslog = {"syslog_host": "127.0.0.1", "syslog_port": server.getsockname()[1]}
        site = make_site(accept_unknown_callers=False, audit=syslog)
        uid, files = write_series(tmp_path, "head")
        storescu(site.node.port, files, aet="STRANGER", check=False)
        storescu(site.node.port, files, aet="PACS")
        site.node.wait_for_state(uid, "DONE")
        assert site.node.run("resend", uid).returncode == 0
        wait_for(lambda: len(site.node.events("delivered")) == 2, what="sent again")
        site.node.stop()
        found = messages(site.node.data)
        first, _ = server.recvfrom(1 << 16)
    told = json.loads(first.partition(b"\xef\xbb\xbf")[2])
    assert first.startswith(b"<85>1 20")
    assert told == found[0]
    (file,) = (site.node.data / "audit").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert PATIENT not in file.read_text()
    assert PATIENT_ID not in file.read_text()
    check(found)


def check(found: list[dict[str, Any]]) -> None:
    """Check the messages of a start, a refusal, a series, a wish and a stop."""
    assert kinds(found)[:4] == [
        "Application Activity",
        "Security Alert",
        "DICOM Instances Transferred",
        "DICOM Instances Transferred",
    ]
    _, refused, received, sent, *rest, _ = found
    assert refused["ActiveParticipant"][0]["UserID"] == "STRANGER at 127.0.0.1"
    assert refused["EventIdentification"]["EventOutcomeIndicator"] == "8"
    assert [item["UserID"] for item in received["ActiveParticipant"]] == ["PACS", "ASPECTS"]
    assert [item["UserID"] for item in sent["ActiveParticipant"]] == ["ASPECTS", "pacs"]
    (study,) = received["ParticipantObjectIdentification"]
    assert study["ParticipantObjectID"] == study_of("head")
    assert study["ParticipantObjectDescription"]["SOPClass"] == [
        {"UID": "1.2.840.10008.5.1.4.1.1.2", "NumberOfInstances": 3}
    ]
    by_kind = dict(zip(kinds(rest), rest, strict=True))
    asked, again = by_kind["Application Activity"], by_kind["DICOM Instances Transferred"]
    assert asked["EventIdentification"]["EventOutcomeDescription"] == "resend"
    assert asked["ActiveParticipant"][-1]["UserIsRequestor"]
    assert again["EventIdentification"]["EventActionCode"] == "R"


def test_syslog_by_tls(certificates: Certificates, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.of("dcmtk"))
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    came = bytearray()

    def take(server: socket.socket) -> None:
        with context.wrap_socket(server.accept()[0], server_side=True) as connection:
            while data := connection.recv(4096):
                came.extend(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=take, args=(server,))
        thread.start()
        audit = {
            "syslog_host": "127.0.0.1",
            "syslog_port": server.getsockname()[1],
            "syslog_protocol": "tls",
        }
        values = {"data_folder": str(tmp_path), "audit": audit, "tls": certificates.node}
        trail = AuditTrail(make_config(values, tmp_path / "node.toml"))
        trail.note(Happened(what="started"))
        trail.stop()
        thread.join(20)
    length, _, rest = bytes(came).partition(b" ")
    assert len(rest) == int(length)
    assert b"Application Start" in rest


def test_server_that_is_down_costs_no_message(tmp_path: Path) -> None:
    audit = {"syslog_host": "host.invalid"}
    trail = AuditTrail(make_config({"data_folder": str(tmp_path), "audit": audit}, tmp_path / "x"))
    trail.note(Happened(what="started"))
    trail.stop()
    assert kinds(messages(tmp_path)) == ["Application Activity"]


def test_old_files_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "20010101.jsonl").write_text("{}\n")
    trail = AuditTrail(NodeConfig(data_folder=tmp_path))
    trail.note(Happened(what="started"))
    trail.stop()
    assert kinds(messages(tmp_path)) == ["Application Activity"]


def test_trail_can_be_switched_off(tmp_path: Path) -> None:
    trail = AuditTrail(make_config(
        {"data_folder": str(tmp_path), "audit": {"enabled": False}}, tmp_path / "x"
    ))  # fmt: skip
    trail.note(Happened(what="started"))
    trail.stop()
    assert not (tmp_path / "audit").exists()
    with pytest.raises(ConfigError, match="needs enabled"):
        make_config({"audit": {"enabled": False, "syslog_host": "x"}}, tmp_path / "x")
    with pytest.raises(ConfigError, match="needs ca"):
        make_config({"audit": {"syslog_host": "x", "syslog_protocol": "tls"}}, tmp_path / "x")
