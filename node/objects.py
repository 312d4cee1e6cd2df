"""Which objects a destination gets, and what goes instead where it refuses a class.

Light to import: the node itself never loads the libraries that encode them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal, get_args

ObjectName = Literal["seg", "sr", "sc", "gsps", "ko", "pdf", "tissue-seg", "labelmap", "note"]
"""What a destination can be given; ``labelmap`` goes instead of ``seg`` where it is accepted.

``note`` comes of series that were not mapped, and alone.
"""

OBJECT_NAMES: Final[tuple[ObjectName, ...]] = get_args(ObjectName)
DEFAULT_OBJECTS: Final[tuple[ObjectName, ...]] = ("seg", "sr")
ENHANCED_SR: Final = "enhanced-sr"
"""The report in the older SOP class, made for every node that sends reports."""

NOTE: Final = "note"
NOTE_FILE: Final = "note.dcm"

_FILES: Final[dict[str, tuple[str, ...]]] = {
    "tissue-seg": ("tissue-seg.dcm",),
    "sc": ("sc-w40.dcm", "sc-w30.dcm"),
    "gsps": ("gsps-ganglionic.dcm", "gsps-supraganglionic.dcm"),
    "pdf": ("pdf.dcm",),
}
_ENCODINGS: Final = ("", "-labelmap", "-enhanced")
_REFERRING: Final = ("sr", "ko")
"""They point at the segmentation, so that there is one for each encoding."""

ALL_FILES: Final = (
    "seg.dcm",
    "seg-labelmap.dcm",
    *(
        f"{name}{encoding}.dcm"
        for encoding in ("", "-labelmap", "-enhanced")
        for name in _REFERRING
    ),
    *(file for files in _FILES.values() for file in files),
    NOTE_FILE,
)
"""Every file name that a result can have."""


def to_make(wanted: Iterable[Collection[str]]) -> tuple[str, ...]:
    """Return what has to be made so that each destination can get what it wants.

    Parameters
    ----------
    wanted : iterable of collection of str
        The objects of each destination.

    Examples
    --------
    >>> to_make([("seg", "sr"), ("sc",)])
    ('seg', 'sr', 'sc', 'enhanced-sr')
    """
    union = {name for names in wanted for name in names}
    made = [name for name in OBJECT_NAMES if name in union]
    return (*made, ENHANCED_SR) if "sr" in union else tuple(made)


def is_note(made: Collection[str]) -> bool:
    """Tell whether nothing but a note was made.

    Parameters
    ----------
    made : collection of str
        File names.
    """
    return set(made) == {NOTE_FILE}


def plans(objects: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return what to send, the best first; each plan refers to nothing that it lacks.

    Parameters
    ----------
    objects : collection of str
        What the destination wants.

    Returns
    -------
    tuple of tuple of str
        File names, in the order in which they are sent.

    Examples
    --------
    >>> plans(("seg", "sr", "ko"))[1]
    ('seg.dcm', 'sr-enhanced.dcm', 'ko-enhanced.dcm')
    >>> plans(("labelmap", "sc"))[0]
    ('seg-labelmap.dcm', 'sc-w40.dcm', 'sc-w30.dcm')
    """
    encodings = [""]
    if "labelmap" in objects:
        encodings.insert(0, "-labelmap")
    if "sr" in objects:
        encodings.append("-enhanced")
    return tuple(_plan(objects, encoding) for encoding in encodings)


def _plan(objects: Collection[str], encoding: str) -> tuple[str, ...]:
    files = []
    if set(objects) & {"seg", "labelmap", *_REFERRING}:
        files.append("seg-labelmap.dcm" if encoding == "-labelmap" else "seg.dcm")
    files += [f"{name}{encoding}.dcm" for name in _REFERRING if name in objects]
    return (*files, *(file for name in _FILES if name in objects for file in _FILES[name]))
