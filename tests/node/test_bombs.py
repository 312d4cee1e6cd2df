"""Files that are small and make a reader ask for a lot, and UIDs that are paths."""

from __future__ import annotations

import resource
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.heads import read_head
from node.inbox import Inbox
from node.state import Ledger, series_key
from tests.node.conftest import Site
from tests.node.double import HUGE
from tests.node.series import PATIENT, write_series
from tests.peers import REPOSITORY, storescu, wait_for

VAST = 256 << 20
BOUND = 24 << 20


def deflated(path: Path, *, vast: int = VAST) -> Path:
    """Write a file whose data set is vast when inflated."""
    dataset = dcmread(path)
    del dataset.PixelData
    head = DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    write_dataset(head, dataset)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # a private element of nothing but zeros: (6001,1001) OB
    start = b"\x01\x60\x01\x10OB\x00\x00" + vast.to_bytes(4, "little")
    chunk = bytes(1 << 20)
    packed = packer.compress(head.getvalue() + start)
    packed += b"".join(packer.compress(chunk) for _ in range(vast >> 20)) + packer.flush()
    out = path.with_suffix(".bomb")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    plain = BytesIO()
    empty = dcmread(path, specific_tags=[], stop_before_pixels=True)
    empty.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    empty.clear()
    empty.save_as(plain, enforce_file_format=True)
    content = plain.getvalue()
    offset = 144 + int.from_bytes(content[140:144], "little")
    out.write_bytes(content[:offset] + packed)
    return out


def test_inflated_header_is_bounded(tmp_path: Path) -> None:
    uid, (path,) = write_series(tmp_path, "bomb", 1)
    bomb = deflated(path)
    assert bomb.stat().st_size < 1 << 20
    ledger = Ledger(tmp_path / "series")
    inbox = Inbox(tmp_path, ledger, 0)
    stored = inbox.store(b"", bomb.read_bytes())
    tracemalloc.start()
    try:
        (arrival,) = inbox.sort([stored])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert arrival is not None
    assert arrival.series_uid == uid
    assert arrival.place is not None
    assert peak < BOUND


def test_deflated_file_is_read_like_any_other(tmp_path: Path) -> None:
    uid, (path,) = write_series(tmp_path, "small", 1)
    small = deflated(path, vast=1 << 20)
    head = read_head(small, ["SeriesInstanceUID", "PatientName"])
    assert head.SeriesInstanceUID == uid
    assert head.PatientName == PATIENT
    assert "Rows" not in head
    assert "PixelData" not in head


def test_computation_that_asks_for_too_much_memory_ends_alone(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = make_site(worker_memory=2 << 30, compute_attempts=2)
    uid, files = write_series(tmp_path, "huge", protocol=HUGE)
    storescu(site.node.port, files)
    row = site.node.wait_for_state(uid, "FAILED", 40)
    assert (row["code"], "worker_memory" in row["reason"]) == ("worker-crashed", True)
    good, more = write_series(tmp_path, "good")
    storescu(site.node.port, more)
    site.node.wait_for_state(good, "DONE")


@pytest.mark.parametrize(
    ("size", "frames", "code"), [(60000, None, "too-large"), (64, "1000000000", "header")]
)
def test_absurd_sizes_are_refused_before_a_pixel_is_read(
    size: int, frames: str | None, code: str, tmp_path: Path
) -> None:
    _, files = write_series(
        tmp_path, "absurd", 12, size=4, FrameOfReferenceUID="1.2.3",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
    )  # fmt: skip
    for path in files:
        dataset = dcmread(path)
        dataset.Rows = dataset.Columns = size
        if frames is not None:
            dataset.NumberOfFrames = frames
            dataset.PixelData = bytes(2 * size * size)
        dataset.save_as(path)
    script = (
        "import sys; from node.compute import read_datasets; from pathlib import Path\n"
        "from pipeline.series import load_series; from pipeline.volume import to_volume\n"
        "from pipeline.errors import SeriesError\n"
        "try: to_volume(load_series(read_datasets(map(Path, sys.argv[1:]))))\n"
        "except SeriesError as error: print(error.code)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, *map(str, files)], cwd=REPOSITORY, check=False,
        capture_output=True, text=True, timeout=50,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)),
    )  # fmt: skip
    assert answer.stdout.strip() == code, answer.stderr


def test_uid_that_is_a_path_or_a_name_goes_nowhere(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = make_site()
    uid, files = write_series(tmp_path / "sent", "tricks", 2)
    trick = "../../../PLANTED^NAME/../etc/passwd"
    for path in files:
        content = path.read_bytes()
        evil = trick.encode().ljust(len(uid) + len(uid) % 2, b"\0")
        path.write_bytes(content.replace(uid.encode().ljust(len(evil), b"\0"), evil))
    assert trick.encode() in files[0].read_bytes()
    before = {path for path in tmp_path.rglob("*") if "node" not in path.parts}
    storescu(site.node.port, files)
    row = wait_for(lambda: next(iter(site.node.status()), None), what="a series")
    assert row["series"].startswith("invalid-")
    wait_for(lambda: site.node.status()[0]["state"] not in {"RECEIVING", "QUEUED"}, what="its end")
    assert (site.node.data / "series" / series_key(trick)).is_dir()
    after = {path for path in tmp_path.rglob("*") if "node" not in path.parts}
    assert {path for path in after - before if "pacs" not in path.parts} == set()
    assert "PLANTED" not in site.node.log.read_text()
    assert site.node.run("reprocess", row["series"]).returncode in {0, 1}
