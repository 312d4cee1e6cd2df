"""What can be wrong with an atlas set; every message says what to run.

::

    AtlasError               exit 2 on the command line
      x UnknownAtlasError      no atlas set of that name
      x AtlasMissingError      not installed, or a file is not there
      x AtlasAlteredError      a file is not the one that was pinned
      x AtlasUnavailableError  no source can be reached: offline
      x AtlasStorageError      the data folder cannot be written or read
      x CohortError            the heads to build from cannot be used
"""

from __future__ import annotations

from typing import ClassVar


class AtlasError(Exception):
    """Base of every error raised on purpose by ``atlases``."""

    code: ClassVar[str] = "atlas-error"


class UnknownAtlasError(AtlasError):
    """There is no atlas set of that name."""

    code = "atlas-unknown"


class AtlasMissingError(AtlasError):
    """The atlas set is not installed, or one of its files is not there."""

    code = "atlas-missing"


class AtlasAlteredError(AtlasError):
    """A file differs from the one that was pinned, or does not hold an atlas."""

    code = "atlas-altered"


class AtlasUnavailableError(AtlasError):
    """The atlas set cannot be fetched: offline, refused or too slow."""

    code = "atlas-unavailable"


class AtlasStorageError(AtlasError):
    """The data folder cannot be read or written."""

    code = "atlas-storage"


class CohortError(AtlasError):
    """The heads to build an atlas from are missing, unreadable or badly described."""

    code = "cohort"
