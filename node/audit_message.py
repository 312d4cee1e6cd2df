"""What an audit message says: the fields of PS3.15, as JSON.

Objects are named by UIDs and counts; no patient is named.

References
----------
DICOM PS3.15, A.5 "Audit Trail Message Format Profile"; RFC 3881 "Security Audit
and Access Accountability Message"; PS3.16, CID 400 to 405 for the codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

_EVENTS: Final = {
    "started": ("110100", "Application Activity", "E"),
    "stopped": ("110100", "Application Activity", "E"),
    "asked": ("110100", "Application Activity", "E"),
    "refused": ("110113", "Security Alert", "E"),
    "received": ("110104", "DICOM Instances Transferred", "C"),
    "sent": ("110104", "DICOM Instances Transferred", "R"),
    "queried": ("110112", "Query", "E"),
    "viewed": ("110103", "DICOM Instances Accessed", "R"),
    "logged_in": ("110114", "User Authentication", "E"),
    "deleted": ("110103", "DICOM Instances Accessed", "D"),
}
_TYPES: Final = {
    "started": ("110120", "Application Start"),
    "stopped": ("110121", "Application Stop"),
    "refused": ("110126", "Node Authentication"),
    "logged_in": ("110122", "Login"),
}


class Outcome(StrEnum):
    """Whether it went well (EventOutcomeIndicator)."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    SERIOUS_FAILURE = "8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something to account for.

    Attributes
    ----------
    what : str
        One of the names in this module's table.
    source, destination : str
        AE title or address of who sent and who received; the node's own AE
        title where it is empty.
    study_uid, series_uid : str
    sop_classes : mapping of str to int
        Number of instances of each SOP class; 0 where it is not known.
    outcome : Outcome
    detail : str
        In words.
    by : str
        Who asked for it.
    """

    what: str
    source: str = ""
    destination: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_classes: Mapping[str, int] | None = None
    outcome: Outcome = Outcome.SUCCESS
    detail: str = ""
    by: str = ""


def message(happened: Happened, *, at: float, ae_title: str, host: str, pid: int) -> dict[str, Any]:
    """Return the message.

    Parameters
    ----------
    happened : Happened
    at : float
        Seconds since the epoch.
    ae_title, host, pid
        Of this node.
    """
    code, meaning, action = _EVENTS[happened.what]
    identification: dict[str, Any] = {
        "EventID": _code(code, meaning),
        "EventActionCode": action,
        "EventDateTime": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        "EventOutcomeIndicator": happened.outcome,
        "EventOutcomeDescription": happened.detail,
    }
    if happened.what in _TYPES:
        identification["EventTypeCode"] = _code(*_TYPES[happened.what])
    return {
        "EventIdentification": identification,
        "ActiveParticipant": _participants(happened, ae_title),
        "AuditSourceIdentification": {"AuditSourceID": ae_title, "Host": host, "ProcessID": pid},
        "ParticipantObjectIdentification": _objects(happened),
    }


def _code(code: str, meaning: str) -> dict[str, str]:
    return {"csd-code": code, "codeSystemName": "DCM", "originalText": meaning}


def _participants(happened: Happened, ae_title: str) -> list[dict[str, Any]]:
    roles = (
        (happened.source or ae_title, "110153", "Source Role ID"),
        (happened.destination or ae_title, "110152", "Destination Role ID"),
    )
    found: list[dict[str, Any]] = [
        {"UserID": name, "UserIsRequestor": False, "RoleIDCode": _code(code, meaning)}
        for name, code, meaning in roles
    ]
    if happened.by:
        found.append({"UserID": happened.by, "UserIsRequestor": True})
    return found


def _objects(happened: Happened) -> list[dict[str, Any]]:
    if not happened.study_uid and not happened.series_uid:
        return []
    return [
        {
            "ParticipantObjectTypeCode": "2",
            "ParticipantObjectTypeCodeRole": "3",
            "ParticipantObjectIDTypeCode": _code("110180", "Study Instance UID"),
            "ParticipantObjectID": happened.study_uid,
            "ParticipantObjectDescription": {
                "Series": happened.series_uid,
                "SOPClass": [
                    {"UID": uid, "NumberOfInstances": count}
                    for uid, count in sorted((happened.sop_classes or {}).items())
                ],
            },
        }
    ]
