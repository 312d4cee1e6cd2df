"""The status codes of C-STORE, as a table.

References
----------
DICOM PS3.4, B.2.3 "Statuses"; PS3.7, 9.1.1.1.9 "Status".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class Category(StrEnum):
    """What a status means for the object that was sent."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


class StoreStatus(IntEnum):
    """The statuses with which this node answers a C-STORE."""

    SUCCESS = 0x0000
    """Stored: the file and its folder are on disk."""
    NOT_AUTHORISED = 0x0124
    """The calling AE may not send here."""
    OUT_OF_RESOURCES = 0xA700
    """Disk nearly full, or the write failed: nothing was kept."""
    CANNOT_UNDERSTAND = 0xC000
    """The data set is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a status code says.

    Attributes
    ----------
    category : Category
    text : str
    """

    category: Category
    text: str


_EXACT: Final = {
    0x0000: Meaning(category=Category.SUCCESS, text="Success"),
    0x0110: Meaning(category=Category.FAILURE, text="Processing failure"),
    0x0111: Meaning(category=Category.FAILURE, text="Duplicate SOP Instance"),
    0x0117: Meaning(category=Category.FAILURE, text="Invalid SOP Instance"),
    0x0122: Meaning(category=Category.FAILURE, text="SOP Class not supported"),
    0x0124: Meaning(category=Category.FAILURE, text="Not authorised"),
    0x0210: Meaning(category=Category.FAILURE, text="Duplicate invocation"),
    0x0211: Meaning(category=Category.FAILURE, text="Unrecognised operation"),
    0x0212: Meaning(category=Category.FAILURE, text="Mistyped argument"),
    0xB000: Meaning(category=Category.WARNING, text="Coercion of data elements"),
    0xB006: Meaning(category=Category.WARNING, text="Elements discarded"),
    0xB007: Meaning(category=Category.WARNING, text="Data set does not match SOP Class"),
}

_RANGES: Final = (
    (0xA700, 0xA7FF, Meaning(category=Category.FAILURE, text="Out of resources")),
    (0xA900, 0xA9FF, Meaning(category=Category.FAILURE, text="Data set does not match SOP Class")),
    (0xB000, 0xBFFF, Meaning(category=Category.WARNING, text="Warning")),
    (0xC000, 0xCFFF, Meaning(category=Category.FAILURE, text="Cannot understand")),
)


def meaning_of(status: int) -> Meaning:
    """Return what a C-STORE status code says.

    Parameters
    ----------
    status : int
        ``Status`` (0000,0900) of a C-STORE response.

    Examples
    --------
    >>> meaning_of(0xA702).text
    'Out of resources'
    >>> meaning_of(0x1234).category
    <Category.FAILURE: 'failure'>
    """
    if status in _EXACT:
        return _EXACT[status]
    for first, last, meaning in _RANGES:
        if first <= status <= last:
            return meaning
    return Meaning(category=Category.FAILURE, text="Unknown status")


SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
"""Noted, too, of an object whose presentation context the peer did not accept."""

_FOR_GOOD: Final = frozenset({SOP_CLASS_NOT_SUPPORTED, 0xA900})


def is_refused_for_good(status: int) -> bool:
    """Tell whether the peer does not take such an object, whenever it is offered.

    Examples
    --------
    >>> is_refused_for_good(0x0122), is_refused_for_good(0xA700)
    (True, False)
    """
    return status in _FOR_GOOD


def is_stored(status: int) -> bool:
    """Tell whether the peer keeps the object: success, or a warning.

    Examples
    --------
    >>> is_stored(0xB000), is_stored(0xA700)
    (True, False)
    """
    return meaning_of(status).category is not Category.FAILURE
