"""Read a few values of a file that a peer sent, with bounded memory.

The node looks at headers in its own process; a file that is small on disk and
vast when inflated, or that holds a name where a UID belongs, does no harm here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.tag import BaseTag, Tag

from node.state import short_hash

_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_LOOK: Final = 2048
_HEAD: Final = 4 << 20
"""Bytes of an inflated data set that are looked at: headers come first."""
_PIXELS: Final = 0x7FE0
_UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)


def read_head(path: Path, keywords: Sequence[str]) -> Dataset:
    """Read some elements and the File Meta Information of a file.

    Parameters
    ----------
    path : Path
    keywords : sequence of str
        Of elements before the pixel data.

    Raises
    ------
    Exception
        Whatever the reader raises on bytes that are no DICOM.

    References
    ----------
    DICOM PS3.5, A.5 "DICOM Deflated Little Endian Transfer Syntax (Explicit VR)".
    """
    with path.open("rb") as file:
        start = file.read(_LOOK)
    if _DEFLATED not in start:
        return dcmread(path, stop_before_pixels=True, specific_tags=list(keywords))
    meta = read_file_meta_info(path)
    with path.open("rb") as file:
        # PS3.10, 7.1: the group length counts the bytes after itself
        file.seek(144 + int(meta.FileMetaInformationGroupLength))
        packed = file.read(_HEAD)
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _HEAD)
    head = read_dataset(
        BytesIO(inflated),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=_is_at_pixels,
        specific_tags=[Tag(keyword) for keyword in keywords],
    )
    head.file_meta = meta
    return head


def _is_at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return tag.group >= _PIXELS


def shown_uid(text: str) -> str:
    """Return a UID as it may be shown: one that is none may hold a name.

    Examples
    --------
    >>> shown_uid("1.2.3"), shown_uid("")
    ('1.2.3', '')
    >>> shown_uid("../DOE^JANE")
    'invalid-42f7ab4c1421b66e783f81f6'
    """
    if not text or _UID.fullmatch(text):
        return text
    return f"invalid-{short_hash(text.encode())}"
