"""What made a result: versions, hashes, parameters; and UIDs derived from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pydicom.uid import UID

PIPELINE_VERSION: Final = "0.1.0"
"""Changes whenever the same input may give another result."""

NewUid = Callable[..., UID]
"""``new_uid(*parts)`` derives a UID from strings: same parts, same UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """One algorithm that took part.

    Attributes
    ----------
    name, version : str
    family : {"artificial-intelligence", "deformable-model", "image-processing"}
    sha256 : str
        Hash of the weights or the atlas it uses; empty where it uses none.
    parameters : tuple of str
        ``name=value`` each.
    """

    name: str
    version: str
    family: str
    sha256: str = ""
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Everything needed to say what made a result, and to make it again.

    Attributes
    ----------
    pipeline_version : str
    input_sha256 : str
        Hash over the sorted SOP Instance UIDs and the voxels.
    atlas_name, atlas_version, atlas_sha256 : str
    age_group : str
    age_years : float or None
    age_flag : str or None
    levels_by : {"method", "person"}
        Who chose the two slices.
    algorithms : tuple of Algorithm
        One each for level finding, registration and so on.
    libraries : dict of str to str
        Version of each library that shapes the numbers.
    """

    pipeline_version: str = PIPELINE_VERSION
    input_sha256: str
    atlas_name: str
    atlas_version: str
    atlas_sha256: str
    age_group: str
    age_years: float | None
    age_flag: str | None
    levels_by: str
    algorithms: tuple[Algorithm, ...]
    libraries: dict[str, str] = field(default_factory=dict)


def uid_factory(root: str = "2.25.") -> NewUid:
    """Return a function that derives UIDs by hash.

    Parameters
    ----------
    root : str
        ``"2.25."`` for UUID-derived UIDs, or an organisation's own root with a
        trailing dot.

    Returns
    -------
    callable
        ``new_uid(*parts: str) -> UID``; the same parts give the same UID.

    References
    ----------
    DICOM PS3.5, Annex B.2 "UUID Derived UID".

    Examples
    --------
    >>> new_uid = uid_factory()
    >>> new_uid("seg", "1.2.3") == new_uid("seg", "1.2.3")
    True
    """

    def new_uid(*parts: str) -> UID:
        digest = hashlib.sha256("\x00".join(parts).encode()).digest()
        number = int.from_bytes(digest[:16], "big")
        if root == "2.25.":
            # version 8 (custom) UUID, variant 10: any other bits are free
            number = number & ~(0xF << 76) | (0x8 << 76)
            number = number & ~(0x3 << 62) | (0x2 << 62)
        return UID(f"{root}{str(number)[: 64 - len(root)]}")

    return new_uid
