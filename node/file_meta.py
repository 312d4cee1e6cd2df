"""The File Meta Information that the node writes before what it received.

References
----------
DICOM PS3.10, 7.1 "DICOM File Meta Information": ``SourceApplicationEntityTitle``
(0002,0016) names the AE that the object came from.
"""

from __future__ import annotations

import struct
from typing import Final

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID

_PREAMBLE: Final = b"\x00" * 128 + b"DICM"
_VERSION: Final = struct.pack("<HH2sHL2s", 2, 0x0001, b"OB", 0, 2, b"\x00\x01")


def file_meta(
    *, sop_class: str, sop_instance: str, transfer_syntax: str, source_ae_title: str
) -> bytes:
    r"""Return preamble, prefix and File Meta Information (Explicit VR Little Endian).

    Examples
    --------
    >>> meta = file_meta(
    ...     sop_class="1.2", sop_instance="1.2.3", transfer_syntax="1.4", source_ae_title="CT"
    ... )
    >>> meta[128:140]
    b'DICM\x02\x00\x00\x00UL\x04\x00'
    """
    elements = _VERSION + b"".join(
        (
            _element(0x0002, b"UI", sop_class),
            _element(0x0003, b"UI", sop_instance),
            _element(0x0010, b"UI", transfer_syntax),
            _element(0x0012, b"UI", PYNETDICOM_IMPLEMENTATION_UID),
            _element(0x0016, b"AE", source_ae_title),
        )
    )
    length = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(elements))
    return _PREAMBLE + length + elements


def _element(number: int, vr: bytes, value: str) -> bytes:
    data = value.encode("ascii", "replace")
    if len(data) % 2:
        data += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 2, number, vr, len(data)) + data
