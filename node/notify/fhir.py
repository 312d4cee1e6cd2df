"""Tell the report as FHIR R4 DiagnosticReport.

The resource is written as plain JSON: it has a dozen elements, for which the
node needs no library; the tests check it with one.

References
----------
HL7 FHIR R4 (4.0.1), 10.1 "Resource DiagnosticReport", 3.1.0.8.1 "Conditional
create"; 2.26.3.0.1 "Identifier: DICOM UIDs" ``urn:dicom:uid``.
"""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from requests import Session

from node.notify.http import deliver, open_session
from node.notify.message import Message
from node.notify.patient import Patient
from node.notify.report_text import report_lines
from node.notify.settings import Notification
from node.secret import read_secret
from node.state import now_s

_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
_PDF: Final = "pdf.dcm"


def send_fhir(target: Notification, message: Message) -> None:
    """Create the resource, once: a server that has it does nothing.

    Raises
    ------
    PeerError
        It was not taken; `NotificationRefusedError` where it never will be.
    ConfigError
        The secret cannot be used.
    """
    resource = make_diagnostic_report(target, message, datetime.fromtimestamp(now_s(), UTC))
    identifier = resource["identifier"][0]
    headers = {
        "Content-Type": "application/fhir+json",
        "Accept": "application/fhir+json",
        "If-None-Exist": f"identifier={identifier['system']}|{identifier['value']}",
    }
    body = json.dumps(resource, ensure_ascii=False).encode()
    with fhir_session(target) as session:
        url = f"{str(target.url).rstrip('/')}/DiagnosticReport"
        deliver(session, target, url, body, headers)


def fhir_session(target: Notification) -> Session:
    """Return a session that logs in as configured.

    Raises
    ------
    ConfigError
        The secret cannot be used.
    """
    secret = read_secret(target.secret_file, target.secret_env)
    session = open_session(target)
    if target.user is not None:
        session.auth = (target.user, secret or "")
    elif secret is not None:
        session.headers["Authorization"] = f"Bearer {secret}"
    return session


def make_diagnostic_report(target: Notification, message: Message, now: datetime) -> dict[str, Any]:
    """Return the resource.

    Parameters
    ----------
    target : Notification
    message : Message
        With report and patient.
    now : datetime
        With a time zone.
    """
    notice, patient = message.notice, message.patient or Patient()
    subject = _subject(patient)
    name = f"{notice.series_uid}/{notice.generation}"
    resource: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "contained": [_imaging_study(message, subject)],
        "identifier": [
            {
                "system": "urn:ietf:rfc:3986",
                "value": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}",
            }
        ],
        "status": "preliminary",
        "category": [{"coding": [{"system": f"{_TERMS}/v2-0074", "code": "CT"}]}],
        "code": {
            "coding": [
                {
                    "system": "http://loinc.org",
                    "code": "30799-1",
                    "display": "CT Head WO contrast",
                }
            ]
        },
        "subject": subject,
        "issued": now.isoformat(timespec="seconds"),
        "imagingStudy": [{"reference": "#study", "type": "ImagingStudy"}],
        "conclusion": "\n".join(report_lines(message)),
    }
    if patient.accession_number:
        resource["basedOn"] = [_order(patient.accession_number)]
    if date := _date(patient.study_date):
        resource["effectiveDateTime"] = date
    if target.pdf and (page := _page(message.results / _PDF)):
        resource["presentedForm"] = [page]
    return resource


def _subject(patient: Patient) -> dict[str, Any]:
    identifier: dict[str, Any] = {"value": patient.id}
    if patient.issuer:
        identifier["assigner"] = {"display": patient.issuer}
    subject: dict[str, Any] = {"type": "Patient"}
    if patient.id:
        subject["identifier"] = identifier
    if patient.full_name:
        subject["display"] = patient.full_name
    return subject


def _imaging_study(message: Message, subject: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": "study",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{message.notice.study_uid}"}],
        "status": "available",
        "subject": subject,
        "series": [
            {
                "uid": message.notice.series_uid,
                "modality": {
                    "system": "http://dicom.nema.org/resources/ontology/DCM",
                    "code": "CT",
                },
            }
        ],
    }


def _order(accession_number: str) -> dict[str, Any]:
    kind = {"coding": [{"system": f"{_TERMS}/v2-0203", "code": "ACSN"}]}
    return {"type": "ServiceRequest", "identifier": {"type": kind, "value": accession_number}}


def _date(text: str) -> str | None:
    """Return a DICOM date as FHIR has it.

    Examples
    --------
    >>> _date("20240131"), _date("")
    ('2024-01-31', None)
    """
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date().isoformat()
    except ValueError:
        return None


def _page(path: Path) -> dict[str, str] | None:
    """Return the PDF of one page; None where no destination gets one."""
    if not path.exists():
        return None
    page = dcmread(path, specific_tags=["EncapsulatedDocument"]).EncapsulatedDocument
    return {
        "contentType": "application/pdf",
        "title": "ASPECTS regions, unverified",
        "data": base64.b64encode(page).decode(),
    }
