"""Tell the report as HL7 v2 message ORU^R01.

References
----------
HL7 Version 2.5.1, 7.3.1 "ORU - Unsolicited Observation Message (Event R01)";
2.9.2 "Message response using the original processing rules"; table 0008
"Acknowledgment Code"; LOINC 30799-1 "CT Head WO contrast", 18782-3 "Radiology
Study observation (narrative)"; DICOM PS3.16, D "DICOM Controlled Terminology
Definitions": 110180 "Study Instance UID", 112002 "Series Instance UID".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from hl7apy.core import Message as Hl7Message
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from node.errors import NotificationError, NotificationRefusedError
from node.notify.message import Message
from node.notify.mllp import exchange
from node.notify.patient import Patient
from node.notify.report_text import report_lines
from node.notify.settings import Notification

_VERSION: Final = "2.5.1"
_STATUS: Final = "P"
"""Preliminary: no person has verified it."""
_EXAMINATION: Final = ("30799-1", "CT Head WO contrast", "LN")
_NARRATIVE: Final = ("18782-3", "Radiology Study observation (narrative)", "LN")
_STUDY: Final = ("110180", "Study Instance UID", "DCM")
_SERIES: Final = ("112002", "Series Instance UID", "DCM")
_ESCAPES: Final = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
"""HL7 2.5.1, 2.7.1 "Formatting codes"."""
_NAME_PARTS: Final = ("xpn_1", "xpn_2", "xpn_3", "xpn_5", "xpn_4")
"""Where the family, given, middle name, prefix and suffix of DICOM go."""


def send_oru(target: Notification, message: Message) -> None:
    """Send the report and have it acknowledged.

    Raises
    ------
    NotificationRefusedError
        AE: the receiver finds an error in the message.
    PeerError
        AR or no answer: it may take it later.
    """
    text = make_oru(target, message, datetime.now().astimezone())
    _require_accepted(target, message.notice.id, exchange(target, text.encode()))


def make_oru(target: Notification, message: Message, now: datetime) -> str:
    """Return the message.

    Parameters
    ----------
    target : Notification
    message : Message
        With report and patient.
    now : datetime
        With a time zone.
    """
    patient = message.patient or Patient()
    stamp = now.strftime("%Y%m%d%H%M%S%z")
    hl7 = Hl7Message("ORU_R01", version=_VERSION)
    _fill_header(hl7.msh, target, message, stamp)
    result = hl7.add_group("ORU_R01_PATIENT_RESULT")
    _fill_patient(result.add_group("ORU_R01_PATIENT").add_segment("PID"), patient)
    order = result.add_group("ORU_R01_ORDER_OBSERVATION")
    _fill_order(order.add_segment("OBR"), patient, stamp)
    for number, (kind, code, value) in enumerate(_observations(message), start=1):
        obx = order.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
        obx.obx_1, obx.obx_2, obx.obx_11 = str(number), kind, _STATUS
        _fill_code(obx.obx_3, code)
        obx.obx_5 = value
        obx.obx_14.ts_1 = stamp
    return str(hl7.to_er7())


def _fill_header(msh: Any, target: Notification, message: Message, stamp: str) -> None:
    msh.msh_3.hd_1 = "ASPECTS-NODE"
    msh.msh_4.hd_1 = _plain(message.node)
    msh.msh_5.hd_1 = _plain(target.receiving_application)
    msh.msh_6.hd_1 = _plain(target.receiving_facility)
    msh.msh_7.ts_1 = stamp
    msh.msh_9.msg_1, msh.msh_9.msg_2, msh.msh_9.msg_3 = "ORU", "R01", "ORU_R01"
    # at most 20 characters
    msh.msh_10 = control_id(message.notice.id)
    msh.msh_11.pt_1 = "P"
    msh.msh_18 = "UNICODE UTF-8"


def control_id(notice_id: str) -> str:
    """Return MSH-10 of a notice: the same for each attempt, at most 20 characters."""
    return notice_id[:20]


def _fill_patient(pid: Any, patient: Patient) -> None:
    pid.pid_1 = "1"
    identifier = pid.pid_3
    identifier.cx_1 = _plain(patient.id)
    if patient.issuer:
        identifier.cx_4.hd_1 = _plain(patient.issuer)
    for place, part in zip(_NAME_PARTS, patient.name, strict=False):
        if part:
            field = getattr(pid.pid_5, place)
            (field.fn_1 if place == "xpn_1" else field).value = _plain(part)
    if patient.birth_date:
        pid.pid_7.ts_1 = _digits(patient.birth_date)
    if patient.sex in {"M", "F", "O"}:
        pid.pid_8 = patient.sex


def _fill_order(obr: Any, patient: Patient, stamp: str) -> None:
    accession = _plain(patient.accession_number)
    obr.obr_1 = "1"
    if patient.placer_order:
        obr.obr_2.ei_1 = _plain(patient.placer_order)
    if patient.filler_order or accession:
        obr.obr_3.ei_1 = _plain(patient.filler_order) or accession
    _fill_code(obr.obr_4, _EXAMINATION)
    if patient.study_date:
        obr.obr_7.ts_1 = _digits(patient.study_date) + _digits(patient.study_time)[:6]
    if accession:
        obr.obr_18 = accession
    obr.obr_22.ts_1 = stamp
    obr.obr_24 = "CT"
    obr.obr_25 = _STATUS


def _fill_code(field: Any, code: tuple[str, str, str]) -> None:
    field.ce_1, field.ce_2, field.ce_3 = code


def _observations(message: Message) -> Iterator[tuple[str, tuple[str, str, str], str]]:
    yield "ST", _STUDY, _plain(message.notice.study_uid)
    yield "ST", _SERIES, _plain(message.notice.series_uid)
    for line in report_lines(message):
        yield "TX", _NARRATIVE, _plain(line)


def _plain(text: str) -> str:
    r"""Return a text as a message holds it, without control characters.

    The library escapes some delimiters and takes others as such; what is escaped
    it leaves alone.

    Examples
    --------
    >>> print(_plain("A&B^C|D\r\n"))
    A\T\B\S\C\F\D
    """
    plain = re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()
    return "".join(_ESCAPES.get(character, character) for character in plain)


def _digits(text: str) -> str:
    return re.sub(r"\D.*", "", text)


def _require_accepted(target: Notification, notice_id: str, answer: bytes) -> None:
    try:
        msa = parse_message(answer.decode("utf-8", "replace"), find_groups=False).msa
        code, answered = msa.msa_1.to_er7(), msa.msa_2.to_er7()
    except (HL7apyException, AttributeError, IndexError) as error:
        raise NotificationError(f"{target.name} answered with no acknowledgement") from error
    if answered != control_id(notice_id):
        raise NotificationError(f"{target.name} acknowledged another message")
    if code in {"AE", "CE"}:
        raise NotificationRefusedError(f"{target.name} finds an error in the message ({code})")
    if code not in {"AA", "CA"}:
        raise NotificationError(f"{target.name} does not take the message now ({code[:2]})")
