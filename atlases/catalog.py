"""The atlas sets that can be installed, each file pinned by its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from atlases.errors import UnknownAtlasError


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One atlas set as it was published.

    Attributes
    ----------
    name, version : str
        The version is the commit of the public repository.
    licence, citation : str
    files : mapping of str to str
        File name to SHA-256 (hexadecimal).
    urls : tuple of str
        Folders to download from, with a trailing slash, tried in this order.
    """

    name: str
    version: str
    licence: str
    citation: str
    files: Mapping[str, str]
    urls: tuple[str, ...]


_ASPECTS_281_SHA256SUMS: Final = """\
08f1aa98a6a31a4cf248f9c84c196c632e2ab2ba2e16924b9f3d68feaf574dc6  cortical_image_10_29.nii.gz
4cb3cd4679132d0562a4171c1831680980215c17e32fc3bf72a009f7a74a0a93  cortical_image_30_49.nii.gz
9d5fa25db0d9a3197255d329b346a68dc282a8c3316be4805cdbcff36f9e3cf6  cortical_image_50_69.nii.gz
b297fff384a735e3846d593fa4b6420e1be85b86a94d4cd070ad2a5735f554b9  cortical_image_70_89.nii.gz
b1062b925b4292cae2030ada758d119dd31da2062a8a8e0ed6731cea8f53d162  cortical_label_10_29.nii.gz
36d110902c4e327249a6b5121dfafb9439fb7c34738cecbc24c1e857e3c10c26  cortical_label_30_49.nii.gz
193faa7e002eff3a91603cd062271cfe74ee54ee75da62415b3890cec63af545  cortical_label_50_69.nii.gz
a3995c6674b29d9ff7c51c3855b0c9611f8e3774607dc6bb3fa178b6ab823e73  cortical_label_70_89.nii.gz
7137d3ec65bb4625ad07b2ee6efb06e08a9f19b198e48f965c3431afd337db14  subcortical_image_10_29.nii.gz
e97d853108f36d87db178f8093e61e8ac059860d3e8fc71bd4e702c2e624ad21  subcortical_image_30_49.nii.gz
f86207e18cbc00b0cd6c4aa1164e573aae944f3270bdb3839ab187cee2e572f7  subcortical_image_50_69.nii.gz
65972ce66c04099997bb947f6638ca259c8ad2ec1bdea91d09d7e2268163ea50  subcortical_image_70_89.nii.gz
e81fa24ee404c87ceb988ca618ab89487e3621674e9af7fb592c33b597f25d6a  subcortical_label_10_29.nii.gz
306de49e6e5f81767087572808826e6d8f8e2a01dff4f8ac4aa46fd52b884a0c  subcortical_label_30_49.nii.gz
443d4b54cdc848b2fc7384385172f95b218b1a927a4b8bdfd666848ff8071ba5  subcortical_label_50_69.nii.gz
26c8bc3a3c900330abb0f7e25266bd0649236612f3d5776c062ae07cf9ff5ae0  subcortical_label_70_89.nii.gz
"""

_ASPECTS_281_REPOSITORY: Final = (
    "https://raw.githubusercontent.com/BravoSun/NCCT-atlas-for-ASPECTS-scoring"
)


def _parse_sums(text: str) -> Mapping[str, str]:
    """Return file name to hash from lines as ``sha256sum`` writes them."""
    pairs = (line.split() for line in text.splitlines())
    return MappingProxyType({name: sha256 for sha256, name in pairs})


CATALOG: Final[Mapping[str, CatalogEntry]] = MappingProxyType(
    {
        "aspects-281": CatalogEntry(
            name="aspects-281",
            version="52144cb",
            licence="MIT",
            citation=(
                "Sun et al., NCCT atlas for ASPECTS scoring (ASPECTS-281), "
                "Scientific Data 11, 1132 (2024), doi:10.1038/s41597-024-03973-y"
            ),
            files=_parse_sums(_ASPECTS_281_SHA256SUMS),
            # the second commit holds the folder too, should a short hash be refused
            urls=(
                f"{_ASPECTS_281_REPOSITORY}/52144cb/ASPECTS-281/",
                f"{_ASPECTS_281_REPOSITORY}/dd8eb4065cc4c42b9104fb2262b645430d36e246/ASPECTS-281/",
            ),
        ),
    }
)
"""Every atlas set by its name."""


def catalog_entry(name: str) -> CatalogEntry:
    """Return the atlas set of that name.

    Raises
    ------
    UnknownAtlasError
        There is none.

    Examples
    --------
    >>> len(catalog_entry("aspects-281").files)
    16
    """
    if name not in CATALOG:
        raise UnknownAtlasError(
            f"no atlas set is called {name!r}; known: {', '.join(CATALOG)}. "
            "Run: aspects-node atlas list"
        )
    return CATALOG[name]
