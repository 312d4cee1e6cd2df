"""What goes to a worker process and what comes back; light to import.

The node itself never loads the libraries of the computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from node.choices import DEFAULT_CHOICES, Choices
from node.objects import DEFAULT_OBJECTS

REPORTS: Final = ("sr.dcm", "sr-labelmap.dcm", "sr-enhanced.dcm")
"""File names of the structured report among the results, in each of its encodings."""


class Ending(StrEnum):
    """How a computation ended."""

    DONE = "done"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One series to compute; plain values, so that it can cross processes.

    Attributes
    ----------
    paths : tuple of Path
        DICOM files of one series.
    out : Path
        Folder for the objects, ``levels.png`` and ``result.json``; made where
        it is absent.
    atlas_folder : Path
        Folder of an installed atlas set.
    now : datetime
        Goes into the objects' dates; with a time zone.
    age_years : float or None
        Overrides the age in the files.
    levels : tuple of int or None
        Ganglionic and supraganglionic slice as chosen by a person.
    uid_root : str
    previous : Path or None
        An earlier report of the series that this one takes the place of.
    objects : tuple of str
        What to make, of `node.objects.OBJECT_NAMES` and ``ENHANCED_SR``.
    choices : Choices
    failed : tuple of str or None
        Code and reason of an earlier failure: make a note of them, map nothing.
    turn : int
        Place in a queue that several nodes share, the smaller the sooner.
    """

    paths: tuple[Path, ...]
    out: Path
    atlas_folder: Path
    now: datetime
    age_years: float | None = None
    levels: tuple[int, int] | None = None
    uid_root: str = "2.25."
    previous: Path | None = None
    objects: tuple[str, ...] = DEFAULT_OBJECTS
    choices: Choices = DEFAULT_CHOICES
    failed: tuple[str, str] | None = None
    turn: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    ending : Ending
    code, reason : str
        Why it was rejected; empty when done.
    quality : str
        ``"pass"``, ``"warn"`` or ``"fail"`` when done.
    objects : tuple of str
        File names in ``out``, in the order in which they are delivered.
    timings_s : dict of str to float
    score : float or None
        How well the series suits the method, 0 to 1; None where it was not found out.
    doubts : tuple of str
        What takes from the score, in words.
    """

    ending: Ending
    code: str = ""
    reason: str = ""
    quality: str = ""
    objects: tuple[str, ...] = ()
    timings_s: dict[str, float] | None = None
    score: float | None = None
    doubts: tuple[str, ...] = ()
