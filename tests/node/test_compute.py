"""Files in, results or a coded rejection out; whatever the bytes are."""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless

from atlases.errors import AtlasAlteredError, AtlasError
from node.compute import OBJECTS, Ending, Job, Outcome, compute, load_tools, read_datasets, warm_up
from pipeline.errors import TooLargeError, UnreadableFileError
from pipeline.series import MAX_SLICES
from tests.pipeline.heads import HEAD, SHARED_DATA, WHEN, datasets, phantom, save, stack
from tests.pipeline.test_volume import pack

ATLAS = SHARED_DATA.resolve() / "aspects-281"
LEVELS = (15, 19)


@pytest.fixture(autouse=True)
def _needs_atlas(atlas_folder: Path) -> None:
    assert atlas_folder.is_dir()


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """Fail, instead of swapping, where a file asks for an enormous array."""
    load_tools(ATLAS)
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def job(paths: list[Path], out: Path, **changed: object) -> Job:
    values = {"age_years": 60.0, **changed}
    return Job(paths=tuple(paths), out=out, atlas_folder=ATLAS, now=WHEN, **values)  # type: ignore[arg-type]  # of several kinds


def document(out: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((out / "result.json").read_text())
    return found


def check(outcome: Outcome, out: Path) -> None:
    """What holds for every ending."""
    found = document(out)
    assert found["status"] == outcome.ending
    for name in (*OBJECTS, "levels.png"):
        assert (out / name).exists() == (outcome.ending is Ending.DONE)
    assert not list(out.glob("*.part"))
    if outcome.ending is Ending.REJECTED:
        assert outcome.code
        assert outcome.code != "series-error"
        assert found["code"] == outcome.code
        assert found["reason"] == outcome.reason
        assert "PLANTED" not in outcome.reason


def test_a_head_gives_all_four_files(tmp_path: Path) -> None:
    paths = save(datasets(), tmp_path / "in")
    random.Random(2).shuffle(paths)
    out = tmp_path / "deep" / "out"
    outcome = compute(job(paths, out))
    check(outcome, out)
    assert outcome.ending is Ending.DONE
    assert outcome.objects == OBJECTS
    seg, sr = (dcmread(out / name) for name in OBJECTS)
    assert seg.Modality == "SEG"
    assert sr.Modality == "SR"
    assert (out / "levels.png").read_bytes().startswith(b"\x89PNG")
    found = document(out)
    levels = found["levels"]
    assert isinstance(levels, dict)
    for level, index in phantom(HEAD).levels.items():
        assert abs(levels[level]["index"] - index) <= 1
        assert levels[level]["sop_instance_uid"] in {ds.SOPInstanceUID for ds in datasets()}
    assert isinstance(found["regions"], list)
    assert len(found["regions"]) == 20


def test_a_rejection_leaves_no_result_of_an_earlier_run(tmp_path: Path) -> None:
    for name in (*OBJECTS, "levels.png", "result.json"):
        (tmp_path / name).write_bytes(b"old")
    outcome = compute(job(save(stack(4), tmp_path / "in"), tmp_path))
    assert outcome.code == "incomplete-series"
    check(outcome, tmp_path)


def test_no_files_is_an_empty_series(tmp_path: Path) -> None:
    outcome = compute(job([], tmp_path))
    assert (outcome.ending, outcome.code) == (Ending.REJECTED, "empty-series")
    assert document(tmp_path)["series_instance_uid"] is None


def test_an_altered_atlas_is_no_rejection(tmp_path: Path, atlas_folder: Path) -> None:
    folder = tmp_path / "aspects-281"
    folder.mkdir()
    for path in atlas_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    victim = next(folder.glob("cortical_label_50*"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    one = Job(paths=(), out=tmp_path / "out", atlas_folder=folder, now=WHEN)
    with pytest.raises(AtlasAlteredError):
        compute(one)
    victim.unlink()
    with pytest.raises(AtlasError):
        compute(one)


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    paths = save(stack(9), tmp_path)
    for name, content in (("a.txt", b"hello"), ("empty", b""), ("b", b"\x00" * 500)):
        (tmp_path / name).write_bytes(content)
        paths.append(tmp_path / name)
    assert len(read_datasets(paths)) == 9


def test_a_media_directory_is_passed_over(shared_data: Path) -> None:
    folder = shared_data / "ct-phantom-philips"
    (path,) = folder.glob("S1000/DIRFILE")
    assert read_datasets([path]) == []


def test_a_broken_file_is_named_by_number_only(tmp_path: Path) -> None:
    paths = save(stack(9), tmp_path / "PLANTED^NAME")
    content = paths[4].read_bytes()
    paths[4].write_bytes(content[:160] + b"\xff" * 40)
    with pytest.raises(UnreadableFileError, match="file 5 ") as caught:
        read_datasets(paths)
    assert "PLANTED" not in str(caught.value)


def test_too_many_files_are_not_all_read(tmp_path: Path) -> None:
    (path,) = save(stack(1), tmp_path)
    with pytest.raises(TooLargeError):
        read_datasets([path] * (MAX_SLICES + 1))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    paths = save(datasets(), tmp_path / "in")
    content = paths[16].read_bytes()
    paths[16].write_bytes(content[: int(len(content) * kept)])
    outcome = compute(job(paths, tmp_path / "out"))
    assert outcome.ending is Ending.REJECTED
    assert outcome.code in {"pixel-data", "unreadable-file", "geometry", "header"}
    check(outcome, tmp_path / "out")


def test_compressed_files_give_the_same_regions(tmp_path: Path) -> None:
    images = datasets()
    for index, ds in enumerate(images):
        # even a mixture of syntaxes is one series
        if index % 3:
            pack(ds, RLELossless if index % 3 == 1 else JPEG2000Lossless)
    outcome = compute(job(save(images, tmp_path / "in"), tmp_path / "out", levels=LEVELS))
    assert outcome.ending is Ending.DONE
    assert document(tmp_path / "out")["regions"] == plain_regions(tmp_path)


def plain_regions(folder: Path) -> object:
    compute(job(save(datasets(), folder / "plain"), folder / "plain-out", levels=LEVELS))
    return document(folder / "plain-out")["regions"]


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize(
    "header",
    [
        {"Rows": 65535, "Columns": 65535},
        {"Rows": 2048, "Columns": 2048},
        {"NumberOfFrames": 2_000_000_000},
        {"SamplesPerPixel": 60000},
        {"BitsAllocated": 65528},
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_enormous_claims_are_refused(
    tmp_path: Path, header: dict[str, int], compressed: bool
) -> None:
    images = stack(9)
    for ds in images:
        if compressed:
            ds.compress(RLELossless, generate_instance_uid=False)
        for keyword, value in header.items():
            setattr(ds, keyword, value)
    outcome = compute(job(save(images, tmp_path / "in"), tmp_path / "out"))
    assert outcome.code in {"too-large", "pixel-data", "header"}


def test_odd_values_are_not_quoted_in_warnings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = stack(9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ds in images:
            ds.PatientBirthDate = "PLANTEDXX"
            ds.StudyDate = "PLANTED-DATE"
            ds.PatientID = "PLANTED" * 20
        paths = save(images, tmp_path / "in")
    caplog.clear()
    # a warning would be an error here
    check(compute(job(paths, tmp_path / "out")), tmp_path / "out")
    assert "PLANTED" not in caplog.text


@cache
def _small_files() -> tuple[bytes, ...]:
    """Nine small slices, plain and compressed, as they lie on disk."""
    made = []
    for index, ds in enumerate(stack(9)):
        if index % 3 == 2:
            pack(ds, RLELossless)
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        made.append(file.getvalue())
    return tuple(made)


@cache
def _head_files() -> tuple[bytes, ...]:
    made = []
    for ds in datasets():
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        made.append(file.getvalue())
    return tuple(made)


def mutated(contents: tuple[bytes, ...], seed: int, count: int, reach: int) -> list[bytes]:
    """Change bytes of the headers: other values, lost and added pieces."""
    rng = random.Random(seed)
    files = [bytearray(content) for content in contents]
    for _ in range(count):
        file = rng.choice(files)
        at = rng.randrange(128, min(len(file), reach))
        kind = rng.randrange(4)
        if kind == 0:
            file[at] = rng.randrange(256)
        elif kind == 1:
            file[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"nan "])
        elif kind == 2:
            del file[at : at + rng.randrange(1, 40)]
        else:
            file[at:at] = rng.randbytes(rng.randrange(1, 9))
    return [bytes(file) for file in files]


def _write(contents: list[bytes], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"{number:04d}.dcm"
        path.write_bytes(content)
        paths.append(path)
    return paths


FUZZ = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.filterwarnings("ignore")  # numpy and pydicom remark on odd values
@pytest.mark.timeout(120)
@given(seed=st.integers(0, 10**6), count=st.sampled_from([1, 2, 5, 30]))
@settings(max_examples=120, **FUZZ)  # type: ignore[arg-type]  # a dict of several kinds
def test_mutated_small_files_end_in_a_code(tmp_path: Path, seed: int, count: int) -> None:
    paths = _write(mutated(_small_files(), seed, count, 10**6), tmp_path / "in")
    outcome = compute(job(paths, tmp_path / "out"))
    assert outcome.ending is Ending.REJECTED
    check(outcome, tmp_path / "out")


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.filterwarnings("ignore")  # numpy and pydicom remark on odd values
@pytest.mark.timeout(180)
@given(seed=st.integers(0, 10**6), count=st.sampled_from([1, 3]))
@settings(max_examples=5, **FUZZ)  # type: ignore[arg-type]  # a dict of several kinds
def test_mutated_heads_are_done_or_refused(tmp_path: Path, seed: int, count: int) -> None:
    paths = _write(mutated(_head_files(), seed, count, 1400), tmp_path / "in")
    outcome = compute(job(paths, tmp_path / "out", levels=LEVELS))
    check(outcome, tmp_path / "out")


@pytest.mark.filterwarnings("ignore")
@given(content=st.binary(max_size=600), preamble=st.booleans())
@settings(max_examples=100, **FUZZ)  # type: ignore[arg-type]  # a dict of several kinds
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, preamble: bool) -> None:
    path = tmp_path / "x"
    path.write_bytes((b"\x00" * 128 + b"DICM" if preamble else b"") + content)
    try:
        found = read_datasets([path])
    except UnreadableFileError:
        return
    assert all(isinstance(one, Dataset) for one in found)


def test_deep_nesting_does_not_overflow_the_stack(tmp_path: Path) -> None:
    # a sequence in a sequence in a sequence, ten thousand deep, of undefined length
    item = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    content = BytesIO()
    stack(1)[0].save_as(content, enforce_file_format=True)
    (tmp_path / "x").write_bytes(content.getvalue() + item * 10_000)
    assert sys.getrecursionlimit() < 10_000
    outcome = compute(job([tmp_path / "x"], tmp_path / "out"))
    assert outcome.ending is Ending.REJECTED


def test_warm_up_goes_through_the_whole_method() -> None:
    names = set(Path(tempfile.gettempdir()).glob("aspects-node-*"))
    warm_up(ATLAS)
    assert set(Path(tempfile.gettempdir()).glob("aspects-node-*")) == names
