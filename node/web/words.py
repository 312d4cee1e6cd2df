"""How pages write times, sizes and numbers."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

STATES: Final = {
    "RECEIVING": "receiving",
    "QUEUED": "queued",
    "COMPUTING": "computing",
    "DELIVERING": "delivering",
    "DONE": "done",
    "REJECTED": "rejected",
    "FAILED": "failed",
    "IGNORED": "ignored",
    "CANCELLED": "cancelled",
    "SUPERSEDED": "superseded",
    "WAITING": "waiting",
    "DELIVERED": "delivered",
    "PARTLY": "partly delivered",
    "ASKED": "asked",
    "COMMITTED": "kept",
}
"""States in words."""

_EXACT_S: Final = 10
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400
_KIB: Final = 1024


def state(name: str) -> str:
    """Return a state in words."""
    return STATES.get(name, name.lower())


def clock(at: float) -> str:
    """Return date and time of day of this machine.

    Parameters
    ----------
    at : float
        Seconds since the epoch.
    """
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at: float) -> str:
    """Return a time as ISO 8601, for ``<time datetime>``."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def duration(seconds: float) -> str:
    """Return a span of time, rounded.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(7300), duration(200000)
    ('0.4 s', '1 min', '2 h', '2 d')
    """
    for unit, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.1f} s" if seconds < _EXACT_S else f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes.

    Examples
    --------
    >>> size(512), size(3 << 30)
    ('512 B', '3.0 GiB')
    """
    for name in ("B", "KiB", "MiB", "GiB"):
        if count < _KIB:
            return f"{count:.0f} B" if name == "B" else f"{count:.1f} {name}"
        count /= _KIB
    return f"{count:.1f} TiB"


def hu(value: float | None, *, sign: bool = False) -> str:
    """Return a density in HU, a dash where there is none.

    Examples
    --------
    >>> hu(31.25), hu(1.25, sign=True), hu(None), hu(-0.04)
    ('31.2', '+1.2', '–', '0.0')
    """
    if value is None or not math.isfinite(value):
        return "–"
    rounded = round(value, 1) or 0.0
    return f"{rounded:+.1f}" if sign and rounded else f"{rounded:.1f}"
