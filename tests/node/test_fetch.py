"""What the node fetches by itself, from a real archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom import dcmread

from node.commands.fetch import fetch
from node.config import NodeConfig, make_config
from node.errors import PeerError, RetrieveError
from node.fetching import read_wish, wish
from node.retrieve import FoundSeries, find_images, find_series, find_studies, retrieve
from tests.node.conftest import DOUBLE, Site
from tests.node.series import study_of, write_series
from tests.peers import NodeProcess, Orthanc, free_port, peer, storescu, to_toml

ACCESSION = "PLANTED-ACC-0815"


@pytest.fixture
def archive(make_orthanc: Callable[..., Orthanc]) -> tuple[Orthanc, int]:
    """An Orthanc that knows a node, and the node's port."""
    port = free_port()
    orthanc = make_orthanc({"node": ("ASPECTS", port)})
    orthanc.start()
    return orthanc, port


def fill(orthanc: Orthanc, folder: Path) -> tuple[str, list[Path]]:
    """Put a study of a CT and an MR series into the archive; return the CT series."""
    uid, files = write_series(folder, "head", 4)
    _, others = write_series(folder, "mr", 1, modality="MR")
    for path in [*files, *others]:
        dataset = dcmread(path)
        dataset.StudyInstanceUID = study_of("head")
        dataset.AccessionNumber = ACCESSION
        dataset.save_as(path)
    orthanc.add([*files, *others])
    return uid, files


def config_of(orthanc: Orthanc, folder: Path) -> NodeConfig:
    return make_config({"peers": [peer("archive", "ORTHANC", orthanc.port)]}, folder)


def test_archive_is_asked_at_each_level(archive: tuple[Orthanc, int], tmp_path: Path) -> None:
    orthanc, _ = archive
    uid, files = fill(orthanc, tmp_path)
    config = config_of(orthanc, tmp_path)
    found = config.peer("archive")
    study = study_of("head")
    assert find_studies(config, found, ACCESSION) == [study]
    assert find_studies(config, found, "none of it") == []
    series = find_series(config, found, study)
    assert sorted((item.modality, item.images) for item in series) == [("CT", 4), ("MR", 1)]
    images = find_images(config, found, study, uid)
    assert sorted(images) == sorted(str(dcmread(path).SOPInstanceUID) for path in files)


@pytest.mark.parametrize("pattern", ["*", "A?", "A\\B", " "])
def test_accession_is_no_pattern(pattern: str, tmp_path: Path) -> None:
    config = make_config({"peers": [peer("archive", "ORTHANC", free_port())]}, tmp_path)
    with pytest.raises(ValueError, match="one value"):
        find_studies(config, config.peer("archive"), pattern)


@pytest.mark.timeout(120)
def test_fetched_series_is_computed_and_its_accession_number_kept_nowhere(
    archive: tuple[Orthanc, int], make_site: Callable[..., Site], tmp_path: Path
) -> None:
    orthanc, port = archive
    uid, files = fill(orthanc, tmp_path)
    node = make_site(port=port, peers=[peer("archive", "ORTHANC", orthanc.port)]).node
    answer = node.run("fetch", "archive", "--accession", stdin=f"{ACCESSION}\n")
    assert (answer.returncode, "Accession number" in answer.stderr) == (0, True)
    assert ACCESSION not in answer.stderr
    assert answer.stdout == f"series {uid}: fetched\n"
    row = node.wait_for_state(uid, "DONE")
    assert (row["images"], row["calling_ae"]) == (len(files), "ORTHANC")
    assert list(node.states()) == [uid], "the MR series was not asked for"
    assert orthanc.modalities() == ["CT", "MR", "SEG", "SR"], "results go back to the archive"
    (line,) = node.events("fetched")
    assert (line["series"], line["images"]) == (uid, 4)
    told = node.log.read_text() + "".join(
        path.read_text() for path in (node.data / "fetches").iterdir()
    )
    assert ACCESSION not in told

    # what is not there
    none = node.run("fetch", "archive", "--accession", stdin="NOBODY-HAS-THIS\n")
    assert none.returncode == 1
    assert "0 studies" in none.stderr
    assert "NOBODY-HAS-THIS" not in none.stderr + none.stdout
    answer = node.run("fetch", "archive", "--study", "1.2.3")
    assert (answer.returncode, "no such series" in answer.stderr) == (1, True)
    # a wish that cannot come true is given up, and says why
    path = wish(node.data, "nobody", FoundSeries(study_uid="1.2", series_uid="1.2.3"))
    node.wait_for_event("fetch_given_up", series="1.2.3")
    found = read_wish(path)
    assert found is not None
    assert found.is_over
    assert "nobody" in found.reason


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nobody", "--study", "1.2.3"], 2),
        (["archive", "--study", "../1"], 2),
        (["archive"], 2),
        (["archive", "--study", "1.2.3", "--accession"], 2),
    ],
)
def test_exit_codes(arguments: list[str], code: int, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(to_toml({"peers": [peer("archive", "AWAY", free_port())]}))
    answer = CliRunner().invoke(fetch, [*arguments, "--config", str(config)])
    assert answer.exit_code == code, answer.output


def test_stopped_node_fetches_when_it_starts(
    archive: tuple[Orthanc, int], make_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    orthanc, port = archive
    uid, _ = fill(orthanc, tmp_path)
    away = peer("archive", "ORTHANC", orthanc.port, retrieve="get")
    node = make_node(DOUBLE, port=port, peers=[away])
    arguments = ["archive", "--study", study_of("head"), "--config", str(node.config_file)]
    answer = CliRunner().invoke(fetch, arguments)
    assert answer.output == "1 series will be fetched when the node starts\n"
    node.start()
    node.wait_for_event("fetched", series=uid, images=4)
    node.wait_for_state(uid, "DONE")


def test_archive_that_may_not_send_here_is_said_to_have_failed(
    archive: tuple[Orthanc, int], tmp_path: Path
) -> None:
    orthanc, _ = archive  # nobody listens at the node's port
    uid, _ = fill(orthanc, tmp_path)

    class Nothing:
        def store(self, head: bytes, data: bytes, association: int) -> int:
            raise AssertionError(head, data, association)

        def closed(self, association: int) -> None:
            raise AssertionError(association)

    config = config_of(orthanc, tmp_path)
    series = FoundSeries(study_uid=study_of("head"), series_uid=uid)
    with pytest.raises(PeerError) as caught:
        retrieve(config, config.peer("archive"), series, Nothing())
    assert isinstance(caught.value, RetrieveError)


@pytest.mark.parametrize("way", ["move", "get"])
def test_image_that_was_lost_on_the_way_is_fetched(
    way: str,
    archive: tuple[Orthanc, int],
    make_site: Callable[..., Site],
    tmp_path: Path,
) -> None:
    orthanc, port = archive
    uid, files = fill(orthanc, tmp_path)
    node = make_site(
        port=port,
        longest_quiet_time_s=60.0,
        peers=[peer("archive", "ORTHANC", orthanc.port, fetch_missing=True, retrieve=way)],
    ).node
    storescu(port, files[:-1], aet="ORTHANC")
    row = node.wait_for_state(uid, "DONE")
    assert (row["images"], row["generation"]) == (4, 1)
    assert node.events("fetch_missing", series=uid)[0]["images"] == 1
    assert node.events("complete", series=uid)[0]["evidence"] == "count"
