"""Reports as HL7 v2 and FHIR say what the computation found, to receivers that check them."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from node.cli import main
from node.compute import compute
from node.job import Job
from node.logs import JsonFormatter, PatientDataFilter
from node.notify.message import gather
from node.notify.notice import Notice
from node.notify.oru import make_oru
from node.notify.outbox import Outbox, standing
from node.notify.report_text import report_lines
from node.notify.sender import Sender
from node.state import now_s
from pipeline.phantom import Acquisition, PhantomSpec, make_phantom, phantom_datasets
from pipeline.provenance import uid_factory
from tests.node.receivers import Inbox, hl7_server, http_server, mail_server, server_context
from tests.node.test_notices import config_with
from tests.node.test_notifications import hook, secret
from tests.node.test_tls import Certificates, certificates
from tests.peers import free_port, to_toml

__all__ = ["certificates"]

NAME = "O'Hara|Cross^Éva^Maria"
PERSON = {
    "PatientName": NAME,
    "PatientID": "7&11",
    "IssuerOfPatientID": "WARD",
    "PatientBirthDate": "19500102",
    "PatientSex": "F",
    "AccessionNumber": "A^77",
    "SpecificCharacterSet": "ISO_IR 192",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, atlas_folder: Path) -> SimpleNamespace:
    """A data folder with a phantom that was computed."""
    folder = tmp_path_factory.mktemp("reports")
    phantom = make_phantom(
        PhantomSpec(
            acquisition=Acquisition(rows=160, columns=160, pixel_spacing_mm=(1.5, 1.5)),
            sub_samples=1,
        )
    )
    moment = datetime(2024, 3, 9, 12, 30, 5, tzinfo=UTC)
    heads = phantom_datasets(phantom, new_uid=uid_factory(), study_datetime=moment)
    images = folder / "series/one/images"
    images.mkdir(parents=True)
    for number, head in enumerate(heads):
        for keyword, value in PERSON.items():
            setattr(head, keyword, value)
        head.save_as(images / f"{number:03d}.dcm", enforce_file_format=True)
    outcome = compute(
        Job(
            paths=tuple(sorted(images.iterdir())),
            out=folder / "series/one/results/0001",
            atlas_folder=atlas_folder,
            now=moment,
            objects=("seg", "sr", "pdf"),
        )
    )
    assert outcome.quality
    return SimpleNamespace(
        folder=folder,
        study=str(heads[0].StudyInstanceUID),
        series=str(heads[0].SeriesInstanceUID),
        quality=outcome.quality,
        result=json.loads((folder / "series/one/results/0001/result.json").read_text()),
    )


def notice(data: SimpleNamespace) -> Notice:
    return Notice(
        id="0123456789abcdef01234567", event="result", at=now_s(), key="one",
        series_uid=data.series, study_uid=data.study, generation=1, state="DONE",
        quality=data.quality, destination="pacs",
    )  # fmt: skip


def send(data: SimpleNamespace, target: dict[str, Any]) -> tuple[int, int]:
    """Send the notice; return what waits and what was put aside."""
    folder = data.folder
    outbox = Outbox(folder, "hook")
    for path in outbox.folder.rglob("*.json"):
        path.unlink()
    outbox.put(notice(data))
    config = config_with({**target, "name": "hook"}, folder=folder)
    Sender(config, config.notifications[0], outbox).send_due()
    found = standing(folder, ["hook"])
    return found["hook", "waiting"], found["hook", "failed"]


def hl7(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "hook", "kind": "hl7", "host": "127.0.0.1", "port": port,
            "include_patient": True, "receiving_application": "HIS", "timeout_s": 1.0,
            **more}  # fmt: skip


def fhir(port: int, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/r4"
    return {"name": "hook", "kind": "fhir", "url": url, "include_patient": True, **more}


@pytest.fixture
def his() -> Iterator[Inbox]:
    with hl7_server() as inbox:
        yield inbox


def test_oru_holds_patient_order_and_report(data: SimpleNamespace, his: Inbox) -> None:
    assert send(data, hl7(his.port)) == (0, 0)
    ((message, text),) = his.got
    assert message.validate()
    pid = message.oru_r01_patient_result.oru_r01_patient.pid
    assert pid.pid_3.cx_1.to_er7() == r"7\T\11"
    assert pid.pid_3.cx_4.hd_1.to_er7() == "WARD"
    assert pid.pid_5.xpn_1.fn_1.to_er7() == r"O'Hara\F\Cross"
    assert (pid.pid_5.xpn_2.to_er7(), pid.pid_5.xpn_3.to_er7()) == ("Éva", "Maria")
    assert (pid.pid_7.ts_1.to_er7(), pid.pid_8.to_er7()) == ("19500102", "F")
    order = message.oru_r01_patient_result.oru_r01_order_observation
    assert order.obr.obr_18.to_er7() == r"A\S\77"
    assert (order.obr.obr_4.ce_1.to_er7(), order.obr.obr_25.to_er7()) == ("30799-1", "P")
    assert order.obr.obr_7.ts_1.to_er7().startswith("20240309")
    rows = [group.obx for group in order.oru_r01_observation]
    assert [row.obx_1.to_er7() for row in rows] == [str(n) for n in range(1, len(rows) + 1)]
    assert {row.obx_11.to_er7() for row in rows} == {"P"}
    assert [row.obx_5.to_er7() for row in rows[:2]] == [data.study, data.series]
    config = config_with(hl7(his.port), folder=data.folder)
    lines = report_lines(gather(config, config.notifications[0], notice(data)))
    assert len(rows) == 2 + len(lines)
    assert message.msh.msh_10.to_er7() == notice(data).id[:20]
    assert "\n" not in text


def test_the_text_says_what_was_found(data: SimpleNamespace) -> None:
    config = config_with(hl7(1), folder=data.folder)
    lines = report_lines(gather(config, config.notifications[0], notice(data)))
    levels = data.result["levels"]
    assert any(
        line.startswith(f"Ganglionic level: slice {levels['ganglionic']['index'] + 1} from")
        for line in lines
    )
    assert lines[1].startswith(f"Quality of the mapping: {data.quality} (")
    if data.quality != "fail":
        measured = {item["number"]: item for item in data.result["regions"]}
        assert f"C: {measured[1]['tissue_hu_median']:.1f}, " in "\n".join(lines)
    assert any("No ASPECTS score" in line for line in lines)


def test_a_failed_mapping_has_no_densities(data: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "series/one"
    folder.mkdir(parents=True)
    (folder / "images").symlink_to(data.folder / "series/one/images")
    results = folder / "results/0001"
    results.mkdir(parents=True)
    failed = {**data.result, "quality": {**data.result["quality"], "verdict": "fail"}}
    (results / "result.json").write_text(json.dumps(failed))
    config = config_with(hl7(1), folder=tmp_path)
    text = "\n".join(report_lines(gather(config, config.notifications[0], notice(data))))
    assert "fail (failed, do not rely on it)" in text
    assert "HU" not in text


def test_the_same_notice_is_the_same_message(data: SimpleNamespace) -> None:
    config = config_with(hl7(1), folder=data.folder)
    target = config.notifications[0]
    message = gather(config, target, notice(data))
    moment = datetime(2024, 3, 9, tzinfo=UTC)
    assert make_oru(target, message, moment) == make_oru(target, message, moment)


@pytest.mark.parametrize(("answer", "stands"), [("AA", (0, 0)), ("AE", (0, 1)), ("AR", (1, 0))])
def test_what_an_acknowledgement_means(
    data: SimpleNamespace, his: Inbox, answer: str, stands: tuple[int, int]
) -> None:
    his.answer = answer
    assert send(data, hl7(his.port)) == stands


def test_a_receiver_that_is_away_or_says_nothing(data: SimpleNamespace) -> None:
    assert send(data, hl7(free_port())) == (1, 0)
    with http_server() as inbox:  # it closes the connection on what is no HTTP
        assert send(data, hl7(inbox.port)) == (1, 0)


def test_diagnostic_report_is_valid_and_says_the_same(data: SimpleNamespace) -> None:
    with http_server(answer=201) as server:
        assert send(data, fhir(server.port, pdf=True)) == (0, 0)
        assert send(data, fhir(server.port, pdf=True)) == (0, 0)
    first, second = server.got
    assert first.path == "/r4/DiagnosticReport"
    assert first.headers["content-type"] == "application/fhir+json"
    assert first.headers["if-none-exist"] == second.headers["if-none-exist"]
    report: Any = DiagnosticReport.model_validate_json(first.body)
    assert report.status == "preliminary"
    assert report.subject.identifier.value == "7&11"
    assert report.subject.display == "O'Hara|Cross, Éva"
    assert report.basedOn[0].identifier.value == "A^77"
    assert str(report.effectiveDateTime) == "2024-03-09"
    (study,) = report.contained
    assert study.identifier[0].value == f"urn:oid:{data.study}"
    assert study.series[0].uid == data.series
    assert report.imagingStudy[0].reference == f"#{study.id}"
    (page,) = report.presentedForm
    assert base64.b64decode(first.json()["presentedForm"][0]["data"]).startswith(b"%PDF-")
    assert page.contentType == "application/pdf"
    name = report.identifier[0].value
    assert first.headers["if-none-exist"].endswith(f"|{name}")
    config = config_with(hl7(1), folder=data.folder)
    lines = report_lines(gather(config, config.notifications[0], notice(data)))
    assert report.conclusion == "\n".join(lines)


def test_no_name_is_in_logs_or_in_what_waits(
    data: SimpleNamespace, his: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    his.answer = "AR"
    with http_server(answer=500) as server, caplog.at_level(logging.DEBUG):
        assert send(data, fhir(server.port)) == (1, 0)
        assert NAME.split("^")[0] in server.got[0].body.decode()
        assert send(data, hl7(his.port)) == (1, 0)
    (kept,) = (data.folder / "notifications/hook").glob("*.json")
    formatter, withheld = JsonFormatter(), PatientDataFilter()
    for record in caplog.records:
        withheld.filter(record)
    lines = [formatter.format(record) for record in caplog.records]
    assert len([line for line in lines if "notification_failed" in line]) == 2
    for text in (kept.read_text(), *lines):
        assert not [item for item in ("Hara", "Cross", "19500102", "7&11") if item in text]


def test_a_report_whose_results_are_deleted_is_put_aside(tmp_path: Path) -> None:
    gone = SimpleNamespace(folder=tmp_path, series="1.2.3", study="1.2", quality="pass")
    assert send(gone, fhir(free_port())) == (0, 1)


@pytest.fixture
def look(tmp_path: Path, atlas_folder: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs ``check`` with targets."""

    def look_at(*targets: dict[str, Any]) -> dict[str, Any]:
        values = {
            "data_folder": str(tmp_path / "data"), "atlas_folder": str(atlas_folder),
            "port": free_port(), "web": {"enabled": False}, "notifications": list(targets),
        }  # fmt: skip
        file = tmp_path / "node.toml"
        file.write_text(to_toml(values))
        done = CliRunner().invoke(main, ["check", "--json", "--config", str(file)])
        return {
            item["what"].removeprefix("notification "): item for item in json.loads(done.output)
        }

    return look_at


def test_check_tries_targets_and_tells_them_nothing(
    look: Callable[..., dict[str, Any]], tmp_path: Path, certificates: Certificates, his: Inbox
) -> None:
    port, context = free_port(), server_context(*certificates.of("node"))
    mail = {
        "name": "mail", "kind": "mail", "host": "127.0.0.1", "port": port, "user": "u",
        "secret_file": secret(tmp_path, "p"), "ca": str(certificates.ca),
        "sender": "a@example.org", "to": ["b@example.org"],
    }  # fmt: skip
    with (
        http_server(answer=405) as server,
        http_server(document={"fhirVersion": "4.0.1"}) as r4,
        mail_server(port, context, "u", "p") as mails,
    ):
        found = look(hook(server.port), {**hl7(his.port), "name": "his"},
                     {**fhir(r4.port), "name": "fhir"}, mail)  # fmt: skip
    assert {found[name]["grade"] for name in ("hook", "his", "fhir", "mail")} == {"ok"}
    assert [item.method for item in server.got] == ["OPTIONS"]
    assert [item.path for item in r4.got] == ["/r4/metadata"]
    assert (his.got, mails.got) == ([], [])


def test_check_says_what_is_wrong_with_a_target(
    look: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    template = tmp_path / "bad.txt"
    template.write_text("{{ nonsense }}")
    with http_server(document={"fhirVersion": "5.0.0"}) as r5:
        found = look(
            hook(free_port()),
            {**hl7(free_port()), "name": "his"},
            {**fhir(r5.port), "name": "fhir"},
            {"name": "mail", "kind": "mail", "host": "127.0.0.1", "sender": "a@b.c",
             "to": ["a@b.c"], "template": str(template)},
        )  # fmt: skip
    grades = {name: found[name]["grade"] for name in ("hook", "his", "fhir", "mail")}
    assert grades == {
        "hook": "unreachable", "his": "unreachable", "fhir": "unreachable", "mail": "broken",
    }  # fmt: skip
    assert "no FHIR R4" in found["fhir"]["text"]
