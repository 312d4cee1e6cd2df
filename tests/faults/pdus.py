"""PDUs as bytes, right and wrong, for peers that misbehave.

References
----------
DICOM PS3.8, 9.3 "DICOM Upper Layer Protocol for TCP/IP Data Unit Structure";
PS3.7, 9.3.1 "C-STORE Protocol".
"""

from __future__ import annotations

import socket
import struct

from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.sop_class import Verification

CONTEXT_ID = 1
ECHO_CONTEXT_ID = 3
ABORT = struct.pack(">BBLL", 7, 0, 4, 0)
RELEASE = struct.pack(">BBLL", 5, 0, 4, 0)


def associate_request(ae_title: str = "FUZZ") -> bytes:
    """Return an A-ASSOCIATE-RQ for CT images and Verification."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = ae_title, "ASPECTS"
    contexts = [build_context(CTImageStorage, ExplicitVRLittleEndian), build_context(Verification)]
    for number, context in zip((CONTEXT_ID, ECHO_CONTEXT_ID), contexts, strict=True):
        context.context_id = number
    primitive.presentation_context_definition_list = contexts
    largest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    largest.maximum_length_received = 16384
    implementation.implementation_class_uid = UID("1.2.3.4")
    primitive.user_information = [largest, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def command_set(*elements: tuple[int, bytes]) -> bytes:
    """Return a command set with its group length."""
    content = b"".join(
        struct.pack("<HHL", 0, number, len(value)) + value for number, value in elements
    )
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content


def store_command(instance: str, message_id: int = 1) -> bytes:
    """Return the command set of a C-STORE request for a CT image."""
    return command_set(
        (0x0002, _even(CTImageStorage)),
        (0x0100, struct.pack("<H", 0x0001)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", 0x0001)),
        (0x1000, _even(instance)),
    )


def _even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def fragments_of(
    data: bytes, size: int, *, is_command: bool, context_id: int = CONTEXT_ID
) -> list[bytes]:
    """Cut a message into presentation data values of at most this many bytes."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    last = len(pieces) - 1
    return [
        struct.pack(">LBB", len(piece) + 2, context_id, is_command + 2 * (index == last)) + piece
        for index, piece in enumerate(pieces)
    ]


def data_pdu(*values: bytes) -> bytes:
    """Return a P-DATA-TF PDU of some presentation data values."""
    body = b"".join(values)
    return struct.pack(">BBL", 4, 0, len(body)) + body


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Return type and content of the next PDU; type 0 where there is none."""
    header = _read(connection, 6)
    if len(header) < 6:
        return 0, b""
    return header[0], _read(connection, int.from_bytes(header[2:], "big"))


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            got = connection.recv(count - len(data))
        except ConnectionError:
            return b""
        if not got:
            return b""
        data += got
    return data


def status_of(body: bytes) -> int:
    """Return the status in a C-STORE response."""
    at = body.index(struct.pack("<HHL", 0, 0x0900, 2))
    return int(struct.unpack_from("<H", body, at + 8)[0])


def echo(port: int) -> bool:
    """Tell whether a C-ECHO is answered."""
    ae = AE(ae_title="FUZZ")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    association = ae.associate("127.0.0.1", port, contexts=[build_context(Verification)])
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool(status) and status.Status == 0
