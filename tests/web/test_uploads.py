"""Uploads: the same inbox, the same bytes; bombs and rubbish are refused."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread

from node.state import series_key
from tests.node.series import write_series
from tests.web.fronts import Desktop, make_desktop


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return content.getvalue()


def begin(desktop: Desktop) -> int:
    return int(desktop.client().post("/api/v1/uploads").json()["upload"])


def test_a_file_is_kept_as_it_is_with_the_upload_as_its_sender(
    desktop: Desktop, tmp_path: Path
) -> None:
    series_uid, files = write_series(tmp_path / "ct", "one", count=2)
    upload = begin(desktop)
    client = desktop.client()
    for path in files:
        said = client.post(f"/api/v1/uploads/{upload}", content=path.read_bytes()).json()
        assert said == {"stored": 1, "skipped": 0, "series": [series_key(series_uid)]}
    assert not desktop.ears.closed_ones
    assert client.delete(f"/api/v1/uploads/{upload}").status_code == 204
    assert desktop.ears.closed_ones == [desktop.ears.associations[0]]
    for path, kept in zip(files, desktop.ears.stored_paths, strict=True):
        before, after = dcmread(path), dcmread(kept)
        assert after == before
        assert after.file_meta.SourceApplicationEntityTitle == "WEB-UPLOAD"
        assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID


def test_a_zip_is_looked_through_and_what_is_no_image_left_out(
    desktop: Desktop, tmp_path: Path
) -> None:
    _, files = write_series(tmp_path / "ct", "one")
    entries = {f"../../{path.name}": path.read_bytes() for path in files}
    inner = packed({"a.dcm": files[0].read_bytes()})
    content = packed({**entries, "/etc/readme.txt": b"text", "inner.zip": inner, "empty": b""})
    said = desktop.client().post(f"/api/v1/uploads/{begin(desktop)}", content=content).json()
    assert (said["stored"], said["skipped"]) == (3, 3)
    assert {path.parent.name for path in desktop.ears.stored_paths} == {"incoming"}
    assert not list((desktop.folder / "uploads").iterdir())


def test_a_zip_bomb_is_refused(desktop: Desktop) -> None:
    content = packed({"bomb": bytes(64 << 20)})
    answer = desktop.client().post(f"/api/v1/uploads/{begin(desktop)}", content=content)
    assert (answer.status_code, "far more than images" in answer.text) == (413, True)
    assert not list((desktop.folder / "uploads").iterdir())
    assert not desktop.ears.stored_paths


def test_a_zip_of_countless_files_is_refused_before_they_are_listed(desktop: Desktop) -> None:
    # an end record that speaks of a directory of 64 MiB, behind one that long
    size = 64 << 20
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFE, 0xFFFE, size, 0, 0)
    answer = desktop.client().post(f"/api/v1/uploads/{begin(desktop)}", content=bytes(size) + end)
    assert (answer.status_code, "at most 20000 files" in answer.text) == (413, True)


def test_more_than_allowed_is_refused_packed_or_not(tmp_path: Path) -> None:
    desktop = make_desktop(tmp_path, max_upload=1 << 20)
    noise = bytes(range(256)) * 4096
    plain = desktop.client().post(f"/api/v1/uploads/{begin(desktop)}", content=noise + b"1")
    assert plain.status_code == 413
    stored = packed({"a": noise[: 1 << 19], "b": noise[: 1 << 19], "c": b"1"})
    answer = desktop.client().post(f"/api/v1/uploads/{begin(desktop)}", content=stored)
    assert (answer.status_code, "max_upload" in answer.text) == (413, True)
    assert not list((desktop.folder / "uploads").iterdir())


@pytest.mark.parametrize("cut", [60, -30])
def test_a_damaged_zip_is_refused_or_left_out(desktop: Desktop, cut: int, tmp_path: Path) -> None:
    _, files = write_series(tmp_path / "ct", "one")
    whole = packed({"a.dcm": files[0].read_bytes()})
    damaged = whole[:cut] + b"\xff" * 200 + whole[cut + 200 :] if cut > 0 else whole[:cut]
    answer = desktop.client().post(f"/api/v1/uploads/{begin(desktop)}", content=damaged)
    assert answer.status_code == 415 or answer.json()["stored"] == 0
    assert not desktop.ears.stored_paths


def test_an_upload_that_is_over_takes_nothing_more(desktop: Desktop, tmp_path: Path) -> None:
    _, files = write_series(tmp_path / "ct", "one", count=1)
    upload = begin(desktop)
    client = desktop.client()
    client.delete(f"/api/v1/uploads/{upload}")
    assert (
        client.post(f"/api/v1/uploads/{upload}", content=files[0].read_bytes()).status_code == 404
    )
    assert client.delete(f"/api/v1/uploads/{upload}").status_code == 404


PREAMBLE = b"\x00" * 128 + b"DICM"


@pytest.mark.filterwarnings("ignore:End of file reached:UserWarning")  # the library says it too
@pytest.mark.parametrize("content", [PREAMBLE, PREAMBLE + b"\xff" * 999])
def test_what_begins_as_dicom_and_is_none_is_left_out(desktop: Desktop, content: bytes) -> None:
    said = desktop.client().post(f"/api/v1/uploads/{begin(desktop)}", content=content).json()
    assert (said["stored"], said["skipped"]) == (0, 1)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    desktop = make_desktop(tmp_path / "data")
    desktop.front.uploads._inbox._min_free_disk = 1 << 60
    _, files = write_series(tmp_path / "ct", "one", count=1)
    answer = desktop.client().post(
        f"/api/v1/uploads/{begin(desktop)}", content=files[0].read_bytes()
    )
    assert answer.status_code == 507
