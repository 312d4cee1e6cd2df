"""Stored values to Hounsfield units, in every syntax and sign."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from pipeline.errors import HeaderError, PixelDecodeError, SeriesError
from pipeline.phantom import PhantomSpec
from pipeline.series import CtSeries, load_series
from pipeline.volume import AIR_HU, to_volume
from tests.pipeline.heads import HEAD, datasets, image, phantom, positions, save, series, stack
from tests.pipeline.test_series import put_raw

FIXTURES = "dicom-fixtures"


def constant(stored: int, **values: object) -> CtSeries:
    """Nine slices of one stored value."""
    images = [image(k, np.zeros((6, 5), dtype="f4")) for k in range(9)]
    for ds in images:
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        kind = "<i2" if ds.PixelRepresentation else "<u2"
        ds.PixelData = np.full((6, 5), stored).astype(kind).tobytes()
    return load_series(images)


@pytest.mark.parametrize("signed", [True, False])
def test_signed_and_unsigned_give_the_phantoms_values(signed: bool) -> None:
    volume = to_volume(load_series(datasets(signed=signed)))
    expected = np.maximum(np.rint(phantom().voxels), -1023)
    assert volume.voxels == pytest.approx(expected)
    assert volume.voxels.dtype == np.float32


def test_affines_say_where_each_pixel_lies() -> None:
    volume = to_volume(series())
    for index in (0, 13, 31):
        expected = positions(series().datasets[index])
        rows, columns = np.mgrid[: HEAD.acquisition.rows, : HEAD.acquisition.columns]
        pixels = np.stack((rows, columns, np.ones_like(rows)), axis=-1)
        assert pixels @ volume.pixel_affines[index].T == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("stored", "header", "hu"),
    [
        (1064, {}, 40.0),
        (80, {"RescaleSlope": 0.5, "RescaleIntercept": 0}, 40.0),
        (1064, {"PixelRepresentation": 0}, 40.0),
        (-3000, {}, AIR_HU),
        (200, {"PixelPaddingValue": 200}, AIR_HU),
        (1064, {"PixelPaddingValue": 1064}, 40.0),
        (150, {"PixelPaddingValue": 100, "PixelPaddingRangeLimit": 200}, AIR_HU),
        (150, {"PixelPaddingValue": 200, "PixelPaddingRangeLimit": 100}, AIR_HU),
        (250, {"PixelPaddingValue": 100, "PixelPaddingRangeLimit": 200}, -774.0),
        (63536, {"PixelRepresentation": 0, "PixelPaddingValue": 63536}, AIR_HU),
    ],
)
def test_rescale_and_padding(stored: int, header: dict[str, object], hu: float) -> None:
    assert np.unique(to_volume(constant(stored, **header)).voxels).tolist() == [hu]


def test_missing_rescale_is_none() -> None:
    one = constant(40)
    for ds in one.datasets:
        del ds.RescaleSlope, ds.RescaleIntercept
    assert np.unique(to_volume(one).voxels).tolist() == [40.0]


def test_phantoms_padding_is_air() -> None:
    spec = PhantomSpec(acquisition=HEAD.acquisition, sub_samples=1, padding=True)
    volume = to_volume(load_series(datasets(spec)))
    assert (volume.voxels[:, 0, 0] == AIR_HU).all()
    assert volume.voxels.min() == AIR_HU


def pack(ds: Dataset, syntax: str) -> None:
    if syntax != JPEG2000Lossless:
        ds.compress(syntax, generate_instance_uid=False)
        return
    kind = "<i2" if ds.PixelRepresentation else "<u2"
    pixels = np.frombuffer(ds.PixelData, kind).reshape(ds.Rows, ds.Columns)
    ds.PixelData = encapsulate([encode_array(pixels, photometric_interpretation=2)])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(syntax)


@pytest.mark.parametrize(
    ("syntax", "signed"),
    [
        (RLELossless, True),
        (RLELossless, False),
        (JPEGLSLossless, False),  # JPEG-LS knows no sign
        (JPEG2000Lossless, True),
        (JPEG2000Lossless, False),
    ],
)
def test_lossless_syntaxes_change_nothing(syntax: str, signed: bool) -> None:
    plain = datasets(signed=signed)[::4]
    packed = deepcopy(plain)
    for ds in packed:
        pack(ds, syntax)
    assert packed[0].file_meta.TransferSyntaxUID == syntax
    expected = to_volume(load_series(plain)).voxels
    assert (to_volume(load_series(packed)).voxels == expected).all()


@pytest.mark.parametrize("kind", ["BigEndianExplicit", "LittleEndianImplicit", "Deflated"])
def test_other_encodings_of_real_files(shared_data: Path, kind: str) -> None:
    folder = shared_data / FIXTURES / "cornerstone_ct_all_syntaxes"
    (path,) = folder.glob(f"*_{kind}*")
    expected = to_volume(copies(dcmread(folder / "CTImage.dcm"))).voxels
    assert (to_volume(copies(dcmread(path))).voxels == expected).all()


def copies(ds: Dataset) -> CtSeries:
    """One slice at eight positions."""
    images = [deepcopy(ds) for _ in range(8)]
    for index, one in enumerate(images):
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x, y, z + 5 * index]
        one.SOPInstanceUID = f"1.2.3.{index}"
        one.FrameOfReferenceUID = "1.2.3"
    return load_series(images)


UNREAD = {
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.53",
    "1.2.840.10008.1.2.4.55",
}
"""Lossy JPEG of twelve bits: no decoder at hand reads it; refused, not guessed."""


@pytest.mark.parametrize("name", ["wg04_ct2_head_all_syntaxes", "cornerstone_ct_all_syntaxes"])
def test_every_compressed_syntax_of_real_files(shared_data: Path, name: str) -> None:
    decoded = {}
    for path in sorted((shared_data / FIXTURES / name).iterdir()):
        ds = dcmread(path)
        try:
            decoded[path.name] = to_volume(copies(ds)).voxels[0]
        except PixelDecodeError:
            assert ds.file_meta.TransferSyntaxUID in UNREAD
    lossless = {
        key: value
        for key, value in decoded.items()
        if any(mark in key for mark in ("J2KR", "JPLL", "RLE", "JLSL", "Lossless", "Endian", "14"))
    }
    assert len(lossless) >= 4
    reference = next(iter(lossless.values()))
    inside = reference > -900
    for key, value in decoded.items():
        difference = np.abs(value - reference)
        limit = 0 if key in lossless and "JPEGLSLossy" not in key else 30
        assert difference[inside].mean() <= limit, key


def _cut(images: list[Dataset]) -> None:
    images[4].PixelData = images[4].PixelData[:100]


def _gone(images: list[Dataset]) -> None:
    del images[4].PixelData


def _garbage(images: list[Dataset]) -> None:
    for ds in images:
        ds.compress(RLELossless, generate_instance_uid=False)
    images[4].PixelData = images[4].PixelData[:90] + b"\x80" * (len(images[4].PixelData) - 90)


def _other_syntax(images: list[Dataset]) -> None:
    images[4].file_meta.TransferSyntaxUID = JPEG2000Lossless


def _no_syntax(images: list[Dataset]) -> None:
    del images[4].file_meta.TransferSyntaxUID


def _set(**values: object) -> Callable[[list[Dataset]], None]:
    def change(images: list[Dataset]) -> None:
        for keyword, value in values.items():
            setattr(images[4], keyword, value)

    return change


def _raw(keyword: str, vr: str, value: bytes) -> Callable[[list[Dataset]], None]:
    return lambda images: put_raw(images[4], keyword, vr, value)


BAD: dict[str, tuple[type[SeriesError], Callable[[list[Dataset]], None]]] = {
    "pixel data cut": (PixelDecodeError, _cut),
    "no pixel data": (PixelDecodeError, _gone),
    "pixel data garbage": (PixelDecodeError, _garbage),
    "named as another syntax": (PixelDecodeError, _other_syntax),
    "no syntax": (PixelDecodeError, _no_syntax),
    "bits missing": (PixelDecodeError, _set(BitsStored=None)),
    "colour": (HeaderError, _set(SamplesPerPixel=3)),
    "many frames": (HeaderError, _set(NumberOfFrames=2_000_000_000)),
    "64 bits": (HeaderError, _set(BitsAllocated=64)),
    "slope of letters": (HeaderError, _raw("RescaleSlope", "DS", b"one ")),
    "slope zero": (HeaderError, _set(RescaleSlope=0)),
    "slope negative": (HeaderError, _set(RescaleSlope=-1)),
    "slope enormous": (HeaderError, _set(RescaleSlope=1e30)),
    "slope not a number": (HeaderError, _raw("RescaleSlope", "DS", b"nan ")),
    "two slopes": (HeaderError, _raw("RescaleSlope", "DS", b"1\\2 ")),
    "intercept endless": (HeaderError, _raw("RescaleIntercept", "DS", b"-inf")),
    "padding of letters": (HeaderError, _raw("PixelPaddingValue", "LO", b"none")),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_defects_are_refused_by_name(case: str) -> None:
    error, change = BAD[case]
    images = stack()
    change(images)
    found = load_series(images)
    with pytest.raises(error) as caught:
        to_volume(found)
    assert found.series_instance_uid in str(caught.value)


def test_enormous_matrix_inside_a_small_file_is_not_allocated(tmp_path: Path) -> None:
    images = stack(9)
    for ds in images:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.Rows, ds.Columns = 2048, 2048
    found = load_series([dcmread(path) for path in save(images, tmp_path)])
    with pytest.raises(PixelDecodeError):
        to_volume(found)
