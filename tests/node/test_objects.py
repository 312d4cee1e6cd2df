"""Each destination gets its list of objects, in an encoding that it accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import LabelMapSegmentationStorage

from node import scu
from node.config import make_config
from node.objects import ALL_FILES, ENHANCED_SR, NOTE, NOTE_FILE, OBJECT_NAMES, plans, to_make
from node.presentation import RESULT_CLASSES
from pipeline.encode.objects import DEFAULT, ObjectKind
from tests.node.series import write_series
from tests.peers import NodeProcess, Orthanc, Peer, StoreScp, free_port, peer, storescu, tool

CLASSES = {
    "seg.dcm": SegmentationStorage,
    "seg-labelmap.dcm": LabelMapSegmentationStorage,
    "sr.dcm": Comprehensive3DSRStorage,
    "sr-labelmap.dcm": Comprehensive3DSRStorage,
    "sr-enhanced.dcm": EnhancedSRStorage,
}


@pytest.fixture
def archive() -> Iterator[Callable[[Sequence[str]], tuple[int, list[str]]]]:
    """Return a function that starts an SCP that accepts these SOP classes alone."""
    servers = []

    def start(classes: Sequence[str]) -> tuple[int, list[str]]:
        stored: list[str] = []

        def keep(event: Event) -> int:
            stored.append(str(event.request.AffectedSOPClassUID))
            return 0x0000

        ae = AE(ae_title="ARCHIVE")
        for uid in classes:
            ae.add_supported_context(uid)
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
        )
        assert server is not None
        servers.append(server)
        return server.server_address[1], stored

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with an object of each encoding."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name, sop_class in CLASSES.items():
        _, (path,) = write_series(tmp_path, name.removesuffix(".dcm"), 1, sop_class=sop_class)
        path.rename(folder / name)
    return folder


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        (tuple(CLASSES.values()), ["seg-labelmap.dcm", "sr-labelmap.dcm"]),
        ((SegmentationStorage, Comprehensive3DSRStorage), ["seg.dcm", "sr.dcm"]),
        ((SegmentationStorage, EnhancedSRStorage), ["seg.dcm", "sr-enhanced.dcm"]),
    ],
)
def test_peer_gets_what_it_accepts(
    accepted: tuple[str, ...],
    sent: list[str],
    archive: Callable[[Sequence[str]], tuple[int, list[str]]],
    results: Path,
) -> None:
    port, stored = archive(accepted)
    config = make_config({"peers": [peer("archive", "ARCHIVE", port)]}, Path("x"))
    answers: list[str] = []
    choices = [[results / name for name in names] for names in plans(("labelmap", "sr"))]
    scu.send(config, config.peer("archive"), choices, lambda name, _: answers.append(name))
    assert answers == sent
    assert stored == [CLASSES[name] for name in sent]


def test_storescp_as_it_comes_takes_all_of_a_plan(
    results: Path, tmp_path: Path, peers: list[Peer]
) -> None:
    if tool("storescp") is None:
        pytest.skip("not installed: storescp")
    port = free_port()
    folder = tmp_path / "received"
    folder.mkdir()
    archive = Peer(["storescp", "-od", folder, str(port)], port, tmp_path / "storescp.log")
    peers.append(archive)
    archive.start()
    config = make_config({"peers": [peer("archive", "ARCHIVE", port)]}, Path("x"))
    answers: dict[str, int] = {}
    choices = [[results / name for name in names] for names in plans(("labelmap", "sr"))]
    scu.send(config, config.peer("archive"), choices, answers.__setitem__)
    assert set(answers.values()) == {0x0000}
    assert tuple(answers) in plans(("labelmap", "sr"))


def test_names_are_those_that_the_encoder_knows() -> None:
    # a note stands for a series that was not mapped: it is made of no findings
    mapped = [name for name in OBJECT_NAMES if name != NOTE]
    assert [*mapped, ENHANCED_SR] == [str(kind) for kind in ObjectKind]
    assert tuple(str(kind) for kind in DEFAULT) == ("seg", "sr")


def test_every_plan_is_made_of_known_files() -> None:
    for plan in plans(OBJECT_NAMES):
        assert len(set(plan)) == len(plan)
        assert set(plan) <= set(ALL_FILES)
    assert set(chain.from_iterable(plans(OBJECT_NAMES))) == set(ALL_FILES) - {NOTE_FILE}


def test_only_what_is_wanted_is_made() -> None:
    assert to_make([("sc",), ("pdf", "sc")]) == ("sc", "pdf")


OLD_PACS = """
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[Old]
PresentationContext1 = SegmentationStorage\\Plain
PresentationContext2 = EnhancedSRStorage\\Plain
[[Profiles]]
[Default]
PresentationContexts = Old
"""
"""What storescp reads: an archive that knows segmentations and an older report, no more."""


@pytest.mark.timeout(300)
def test_real_archives_take_every_object(
    make_node: Callable[..., NodeProcess],
    make_orthanc: Callable[..., Orthanc],
    tmp_path: Path,
    ct_ge: list[Path],
) -> None:
    """Orthanc refuses label maps and gets BINARY; a PACS that takes all gets what it wants."""
    orthanc = make_orthanc({"node": ("ASPECTS", free_port())})
    profile = tmp_path / "old.cfg"
    profile.write_text(OLD_PACS)
    archives = {
        "pacs": StoreScp(tmp_path / "pacs"),
        "usual": StoreScp(tmp_path / "usual", takes=()),
        "old": StoreScp(tmp_path / "old", takes=("-xf", str(profile), "Default")),
    }
    everything = list(OBJECT_NAMES)
    wanted = {"pacs": ["labelmap", "sr", "ko"], "usual": everything, "old": ["seg", "sr", "gsps"]}
    node = make_node(
        default_peer="orthanc",
        also_send_to=[*archives],
        peers=[
            peer("orthanc", "ORTHANC", orthanc.port, objects=everything),
            *(
                peer(name, name.upper(), archive.port, objects=wanted[name])
                for name, archive in archives.items()
            ),
        ],
    )
    orthanc.start()
    with ExitStack() as running:
        for archive in archives.values():
            archive.start()
            running.callback(archive.stop)
        node.start()
        storescu(node.port, ct_ge)
        uid = str(dcmread(ct_ge[0], stop_before_pixels=True).SeriesInstanceUID)
        for name in ("orthanc", "pacs", "usual"):
            node.wait_for_event("delivered", 200.0, series=uid, destination=name)
        node.wait_for_event("delivered_partly", 200.0, series=uid, destination="old")
        received = {str(item.SOPClassUID): item for item in archives["pacs"].wait_for(3)}
        usual = [str(item.SOPClassUID) for item in archives["usual"].received()]
        old = {str(item.SOPClassUID) for item in archives["old"].received()}
    assert [name for name in wanted if node.events("fallback", destination=name)] == [
        "usual",
        "old",
    ]
    assert node.events("fallback", destination="orthanc")
    assert orthanc.modalities() == ["DOC", "KO", "OT", "PR", "SEG", "SEG", "SR"]
    assert len(orthanc.get("/instances")) == len(plans(OBJECT_NAMES)[1])
    assert len(usual) == len(plans(OBJECT_NAMES)[1])
    assert old == {SegmentationStorage, EnhancedSRStorage}
    assert set(received) == {
        LabelMapSegmentationStorage,
        Comprehensive3DSRStorage,
        KeyObjectSelectionDocumentStorage,
    }
    assert {*received, *usual} <= RESULT_CLASSES
    pointed_at = _pointed_at(received[KeyObjectSelectionDocumentStorage])
    for sop_class in (LabelMapSegmentationStorage, Comprehensive3DSRStorage):
        assert str(received[sop_class].SOPInstanceUID) in pointed_at


def _pointed_at(document: Dataset) -> set[str]:
    return {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in document.ContentSequence
        if item.ValueType in ("IMAGE", "COMPOSITE")
    }


def test_every_class_that_is_sent_is_no_input() -> None:
    assert {
        EncapsulatedPDFStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        SecondaryCaptureImageStorage,
        *CLASSES.values(),
    } <= RESULT_CLASSES
