"""Fetch the files of an atlas set over HTTPS."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

from atlases.catalog import CatalogEntry
from atlases.errors import AtlasAlteredError, AtlasUnavailableError
from atlases.folders import install_command
from atlases.verify import sha256_of

TIMEOUT_S: Final = 20.0
"""Longest silence of the server, connecting included."""
_MOST_BYTES: Final = 16 * 2**20

OnFile = Callable[[str], None]
"""Called with the name of each file that has been fetched and checked."""


def download(
    entry: CatalogEntry, on_file: OnFile | None = None, *, timeout_s: float = TIMEOUT_S
) -> dict[str, bytes]:
    """Download every file of an atlas set and check it against its hash.

    Parameters
    ----------
    entry : CatalogEntry
    on_file : callable, optional
    timeout_s : float
        Longest silence of the server. ``HTTPS_PROXY`` is honoured.

    Returns
    -------
    dict of str to bytes
        File name to content.

    Raises
    ------
    AtlasUnavailableError
        Offline, refused, not there or too slow.
    AtlasAlteredError
        What came is not the file that was pinned.
    """
    opener = _opener()
    contents = {}
    for name, sha256 in entry.files.items():
        content = _fetch(opener, entry, name, timeout_s)
        if sha256_of(content) != sha256:
            raise AtlasAlteredError(
                f"{name}: what was downloaded is not the pinned file; nothing was installed. "
                f"Run, with a folder that holds it: {install_command(entry.name)} --from FOLDER"
            )
        contents[name] = content
        if on_file is not None:
            on_file(name)
    return contents


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows HTTP and HTTPS, and no ``file:`` or ``ftp:``."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _fetch(
    opener: urllib.request.OpenerDirector, entry: CatalogEntry, name: str, timeout_s: float
) -> bytes:
    refusal = "no address is known"
    for base in entry.urls:
        try:
            return _read(opener, base + name, timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            refusal = f"the server answered {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            # offline is offline: the other addresses are on the same server
            raise _unavailable(entry, name, _reason(error)) from error
    raise _unavailable(entry, name, refusal)


def _read(opener: urllib.request.OpenerDirector, url: str, timeout_s: float) -> bytes:
    with opener.open(url, timeout=timeout_s) as response:
        content: bytes = response.read(_MOST_BYTES)
    return content


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(error).__name__


def _unavailable(entry: CatalogEntry, name: str, reason: str) -> AtlasUnavailableError:
    return AtlasUnavailableError(
        f"cannot download {name} of the atlas set {entry.name}: {reason}. "
        f"Without a network, copy its {len(entry.files)} files here and run: "
        f"{install_command(entry.name)} --from FOLDER"
    )
