"""What peers may send, and how it ends: dcmtk sends, the node receives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import AE, build_context

from node.presentation import NO_INPUT_CLASSES
from tests.node.conftest import Site
from tests.node.series import PATIENT, PATIENT_ID, write_series
from tests.peers import run, storescu, wait_for


def results(site: Site, files: list[Path], count: int = 2) -> list[str]:
    """Wait for the results of the study of these files; return their UIDs."""
    study = dcmread(files[0]).StudyInstanceUID

    def found() -> list[str] | None:
        uids = [str(d.SOPInstanceUID) for d in site.pacs.received() if d.StudyInstanceUID == study]
        return uids if len(uids) >= count else None

    return wait_for(found, what=f"{count} results of study {study}")


def test_echo(shared_site: Site) -> None:
    run("echoscu", "127.0.0.1", str(shared_site.node.port))


def test_echo_command(shared_site: Site) -> None:
    answer = shared_site.node.run("echo", "pacs")
    assert answer.returncode == 0
    assert answer.stdout.startswith("pacs (PACS at 127.0.0.1")


def test_echo_command_without_an_answer(shared_site: Site) -> None:
    assert shared_site.node.run("echo", "nobody").returncode == 2
    silent = shared_site.node.run("echo", "banned")
    assert silent.returncode == 1
    assert "peer-timeout" in silent.stderr


def test_results_come_back(shared_site: Site, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "plain", 4)
    storescu(shared_site.node.port, files)
    assert len(results(shared_site, files)) == 2
    row = shared_site.node.wait_for_state(uid, "DONE")
    assert (row["images"], row["calling_ae"], row["quality"]) == (4, "SCANNER", "pass")
    assert row["deliveries"]["pacs"]["statuses"] == {"seg.dcm": "0x0000", "sr.dcm": "0x0000"}


def test_files_hold_what_was_sent(shared_site: Site, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "bytes", 2)
    storescu(shared_site.node.port, files)
    shared_site.node.wait_for_state(uid, "DONE")
    sent = {str(item.SOPInstanceUID): item for item in map(dcmread, files)}
    kept = [dcmread(path) for path in shared_site.node.data.glob("series/*/images/*.dcm")]
    mine = [item for item in kept if item.SeriesInstanceUID == uid]
    assert len(mine) == 2
    for item in mine:
        assert item.file_meta.SourceApplicationEntityTitle == "SCANNER"
        assert item.PixelData == sent[str(item.SOPInstanceUID)].PixelData


def test_one_image_an_association(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site(quiet_time_s=3.0)
    uid, files = write_series(tmp_path, "single", 4)
    for path in files:
        storescu(site.node.port, [path])
    results(site, files)
    row = site.node.wait_for_state(uid, "DONE")
    assert (row["images"], row["generation"]) == (4, 1)


def test_two_interleaved_series(shared_site: Site, tmp_path: Path) -> None:
    first, files = write_series(tmp_path, "left", 3)
    second, more = write_series(tmp_path, "right", 3)
    storescu(
        shared_site.node.port, [path for pair in zip(files, more, strict=True) for path in pair]
    )
    for uid, mine in ((first, files), (second, more)):
        results(shared_site, mine)
        assert shared_site.node.wait_for_state(uid, "DONE")["images"] == 3


def test_sending_twice_makes_no_new_work(shared_site: Site, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "twice", 3)
    storescu(shared_site.node.port, [*files, *files])
    before = results(shared_site, files)
    shared_site.node.wait_for_state(uid, "DONE")
    storescu(shared_site.node.port, files)
    duplicates = wait_for(
        lambda: (
            found if len(found := shared_site.node.events("duplicate", series=uid)) == 6 else None
        )
    )
    assert len(duplicates) == 6
    assert results(shared_site, files) == before
    assert shared_site.node.wait_for_state(uid, "DONE")["generation"] == 1


def test_late_image_gives_a_new_generation(shared_site: Site, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "late", 3)
    storescu(shared_site.node.port, files[:2])
    first = results(shared_site, files)
    storescu(shared_site.node.port, files[2:])
    both = results(shared_site, files, 4)
    assert set(first) < set(both)
    row = shared_site.node.wait_for_state(uid, "DONE")
    assert (row["generation"], row["images"]) == (2, 3)
    received = {str(item.SOPInstanceUID): item for item in shared_site.pacs.received()}
    (old,) = [received[uid] for uid in first if received[uid].Modality == "SR"]
    (new,) = [received[uid] for uid in set(both) - set(first) if received[uid].Modality == "SR"]
    (study,) = new.PredecessorDocumentsSequence
    (named,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert named.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in old


def test_refused_caller(shared_site: Site, tmp_path: Path) -> None:
    _, files = write_series(tmp_path, "banned", 1)
    answer = storescu(shared_site.node.port, files, aet="BANNED", check=False)
    assert answer.returncode != 0
    assert "Calling AE Title Not Recognized" in answer.stderr + answer.stdout


@pytest.mark.parametrize("modality", ["MR", "OT"])
def test_other_modalities_are_kept_and_rejected(
    shared_site: Site, tmp_path: Path, modality: str
) -> None:
    uid, files = write_series(tmp_path, f"other-{modality}", 2, modality=modality)
    storescu(shared_site.node.port, files, "-R")
    row = shared_site.node.wait_for_state(uid, "REJECTED")
    assert (row["code"], row["images"], row["deliveries"]) == ("unsupported-sop-class", 2, {})


@pytest.mark.parametrize("sop_class", sorted(NO_INPUT_CLASSES))
def test_results_that_come_back_make_no_work(
    shared_site: Site, tmp_path: Path, sop_class: str
) -> None:
    uid, files = write_series(tmp_path, f"result-{sop_class}", 1, sop_class=sop_class)
    store_with_pynetdicom(shared_site.node.port, files[0], sop_class)
    assert shared_site.node.wait_for_state(uid, "IGNORED")["code"] == "result-object"


@pytest.mark.parametrize(
    "sop_class", ["1.2.826.0.1.3680043.10.9999.1", "1.2.840.10008.5.1.4.1.1.999"]
)
def test_private_and_unknown_classes_are_kept(
    shared_site: Site, tmp_path: Path, sop_class: str
) -> None:
    uid, files = write_series(tmp_path, f"class-{sop_class}", 1, modality="OT", sop_class=sop_class)
    store_with_pynetdicom(shared_site.node.port, files[0], sop_class)
    assert shared_site.node.wait_for_state(uid, "REJECTED")["images"] == 1


def store_with_pynetdicom(port: int, path: Path, sop_class: str) -> None:
    ae = AE(ae_title="SCANNER")
    association = ae.associate("127.0.0.1", port, contexts=[build_context(UID(sop_class))])
    assert association.is_established
    try:
        assert association.send_c_store(dcmread(path)).Status == 0x0000
    finally:
        association.release()


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("CT2_JPLL", "-xs"),
        ("CT2_J2KR", "-xv"),
        ("CT2_J2KI", "-xw"),
        ("CT2_JLSL", "-xt"),
        ("CT2_JLSN", "-xu"),
        ("CT2_RLE", "-xr"),
    ],
)
def test_compressed_syntax_is_kept_as_it_is(
    shared_site: Site, shared_data: Path, name: str, option: str
) -> None:
    path = shared_data / "dicom-fixtures" / "wg04_ct2_head_all_syntaxes" / name
    sent = dcmread(path)
    storescu(shared_site.node.port, [path], option)

    def kept() -> bool:
        # the same instance in another syntax is kept aside: both folders count
        found = [dcmread(item) for item in shared_site.node.data.glob("series/*/[ic]*/*.dcm")]
        return any(
            item.SOPInstanceUID == sent.SOPInstanceUID
            and item.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
            and item.PixelData == sent.PixelData
            for item in found
        )

    wait_for(kept, what=f"{name} kept")


def test_no_patient_in_logs_and_names(shared_site: Site, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "private", 2)
    storescu(shared_site.node.port, files)
    shared_site.node.wait_for_state(uid, "DONE")
    assert files[0].read_bytes().count(PATIENT.encode()) == 1
    for planted in (PATIENT, PATIENT_ID):
        assert planted not in shared_site.node.log.read_text()
        assert planted not in shared_site.node.run("status").stdout
        assert not [path for path in shared_site.node.data.rglob("*") if planted in path.name]
        for record in shared_site.node.data.glob("series/*/record.json"):
            assert planted not in record.read_text()


def test_status_command(shared_site: Site, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "status", 2, modality="MR")
    storescu(shared_site.node.port, files, "-R")
    row = shared_site.node.wait_for_state(uid, "REJECTED")
    rows = json.loads(shared_site.node.run("status", "--json").stdout)
    shown = next(item for item in rows if item["series"] == uid)
    assert {**shown, "age_s": 0} == {**row, "age_s": 0}
    table = shared_site.node.run("status")
    assert table.returncode == 0
    # whole: retry asks for it
    assert f"REJECTED   {uid}" in table.stdout
