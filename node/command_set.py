"""The command sets of C-STORE, read and written without the library.

Only what the hot path needs: a request that looks in any way unusual is None
here and goes to the library.

References
----------
DICOM PS3.7, 6.3.1 "Command Set Structure" (always Implicit VR Little Endian);
9.3.1 "C-STORE Protocol"; E.1 "Registry of DICOM Command Elements".
PS3.8, 9.3.5 "P-DATA-TF PDU Structure"; E.2 "Message Control Header Encoding".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ELEMENT: Final = struct.Struct("<HHL")
_SOP_CLASS: Final = 0x0002
_FIELD: Final = 0x0100
_MESSAGE_ID: Final = 0x0110
_ANSWERED_ID: Final = 0x0120
_DATA_SET_TYPE: Final = 0x0800
_STATUS: Final = 0x0900
_SOP_INSTANCE: Final = 0x1000

_STORE_REQUEST: Final = 0x0001
_STORE_RESPONSE: Final = 0x8001
_NO_DATA_SET: Final = 0x0101
_UID: Final = re.compile(rb"[0-9.]{1,64}")
_LAST_COMMAND: Final = 0x03


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What a C-STORE request says of its object.

    Attributes
    ----------
    sop_class, sop_instance : str
        ``AffectedSOPClassUID`` (0000,0002), ``AffectedSOPInstanceUID`` (0000,1000).
    message_id : int
        ``MessageID`` (0000,0110).
    """

    sop_class: str
    sop_instance: str
    message_id: int


def store_request(command: bytes) -> StoreRequest | None:
    """Read a C-STORE request; None for anything else, and for anything odd.

    Examples
    --------
    >>> store_request(b"no command at all")
    """
    elements = _elements(command)
    values = [elements.get(number, b"") for number in (_FIELD, _MESSAGE_ID, _DATA_SET_TYPE)]
    if any(len(value) != 2 for value in values):
        return None
    field, message_id, data_set_type = (int.from_bytes(value, "little") for value in values)
    if field != _STORE_REQUEST or data_set_type == _NO_DATA_SET:
        return None
    uids = [elements.get(number, b"").rstrip(b"\0 ") for number in (_SOP_CLASS, _SOP_INSTANCE)]
    if not all(map(_UID.fullmatch, uids)):
        return None
    return StoreRequest(uids[0].decode(), uids[1].decode(), message_id)


def _elements(command: bytes) -> dict[int, bytes]:
    """Return the values by element number; empty where it is no command set."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(command):
        if len(command) - at < _ELEMENT.size:
            return {}
        group, number, length = _ELEMENT.unpack_from(command, at)
        at += _ELEMENT.size
        if group or length > len(command) - at:
            return {}
        found[number] = command[at : at + length]
        at += length
    return found


def store_response(request: StoreRequest, context_id: int, status: int) -> bytes:
    """Return the response to a request as one P-DATA-TF PDU.

    Examples
    --------
    >>> store_response(StoreRequest("1.2", "1.2.3", 7), 1, 0)[:12].hex(" ")
    '04 00 00 00 00 54 00 00 00 50 01 03'
    """
    elements = b"".join(
        _ELEMENT.pack(0, number, len(value)) + value
        for number, value in (
            (_SOP_CLASS, _even(request.sop_class)),
            (_FIELD, _short(_STORE_RESPONSE)),
            (_ANSWERED_ID, _short(request.message_id)),
            (_DATA_SET_TYPE, _short(_NO_DATA_SET)),
            (_STATUS, _short(status)),
            (_SOP_INSTANCE, _even(request.sop_instance)),
        )
    )
    command = _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(elements)) + elements
    length = len(command) + 2
    return struct.pack(">BBLLBB", 4, 0, length + 4, length, context_id, _LAST_COMMAND) + command


def _even(uid: str) -> bytes:
    data = uid.encode()
    return data + b"\0" * (len(data) % 2)


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


@dataclass(frozen=True, slots=True)
class Fragment:
    """One presentation data value of a P-DATA-TF PDU.

    Attributes
    ----------
    context_id : int
    is_command, is_last : bool
        The two bits of its message control header.
    data : memoryview
    """

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


def fragments(body: memoryview) -> Iterator[Fragment]:
    """Yield the presentation data values of a P-DATA-TF PDU.

    Parameters
    ----------
    body : memoryview
        The PDU after its length.

    Raises
    ------
    ValueError
        A length is wrong.
    """
    at = 0
    while at < len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        if length < 2 or at + 4 + length > len(body):
            raise ValueError("a presentation data value does not fit its PDU")
        control = body[at + 5]
        yield Fragment(
            body[at + 4], bool(control & 1), bool(control & 2), body[at + 6 : at + 4 + length]
        )
        at += 4 + length
