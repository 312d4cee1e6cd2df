"""Who may come in: password hashes in a file, sessions in memory.

References
----------
OWASP Password Storage Cheat Sheet: scrypt with N = 2**17, r = 8, p = 1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.errors import ConfigError
from node.files import write_durably

LOG = logging.getLogger(__name__)

NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
"""What a user may be called."""
SHORTEST_PASSWORD: Final = 10

_COST: Final = (1 << 17, 8, 1)
_MEMORY: Final = 192 << 20
_ROW: Final = re.compile(r"([A-Za-z0-9_.@-]+):scrypt\$(\d+)\$(\d+)\$(\d+)\$([^$]+)\$([^$\s]+)")
_TRIES: Final = 5
_TRIES_S: Final = 300.0
_MOST_SESSIONS: Final = 1000


def hash_password(password: str) -> str:
    """Return the line of a password, without the name.

    Parameters
    ----------
    password : str

    Returns
    -------
    str
        ``scrypt$N$r$p$salt$hash``, salt and hash in base64.
    """
    salt = os.urandom(16)
    encoded = [base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt, _COST))]
    return "$".join(("scrypt", *map(str, _COST), *encoded))


def _scrypt(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def _matches(password: str, line: str) -> bool:
    _, n, r, p, salt, expected = line.split("$")
    found = _scrypt(password, base64.b64decode(salt), (int(n), int(r), int(p)))
    return hmac.compare_digest(found, base64.b64decode(expected))


def read_users(path: Path) -> dict[str, str]:
    """Return the hash of each user.

    Raises
    ------
    ConfigError
        The file cannot be read, or a line is no user's.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"web.users_file: {path} cannot be read ({error.strerror}); "
            "aspects-node user NAME makes it"
        ) from error
    users = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if _ROW.fullmatch(line) is None:
            raise ConfigError(f"web.users_file: {path}, line {number} is no user")
        name, _, hashed = line.partition(":")
        users[name] = hashed
    return users


def write_users(path: Path, users: Mapping[str, str]) -> None:
    """Write the file, readable by its owner alone."""
    text = "".join(f"{name}:{hashed}\n" for name, hashed in sorted(users.items()))
    write_durably(path, text.encode())


class Accounts:
    """Checks passwords and keeps sessions.

    Parameters
    ----------
    path : Path
        The users' file; read again for each log-in, so that a user who was
        taken out stays out.
    session_s : float
        A session ends after this time without a request.
    """

    def __init__(self, path: Path, session_s: float) -> None:
        self._path = path
        self._session_s = session_s
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[str, float]] = {}
        self._known: dict[bytes, tuple[str, float]] = {}
        self._failures: dict[str, list[float]] = {}
        self._nobody = hash_password(secrets.token_urlsafe())

    def check(self, name: str, password: str, address: str) -> bool:
        """Tell whether a password is right; an address that guesses has to wait.

        Takes a tenth of a second where it is not known yet: not for the event loop.
        """
        if self.is_blocked(address):
            return False
        hashed = self._users().get(name)
        # as long for a name that there is not
        is_right = _matches(password, hashed or self._nobody) and hashed is not None
        if not is_right:
            with self._lock:
                self._failures.setdefault(address, []).append(time.monotonic())
        return is_right

    def is_blocked(self, address: str) -> bool:
        """Tell whether too many wrong passwords came from an address."""
        since = time.monotonic() - _TRIES_S
        with self._lock:
            recent = [at for at in self._failures.get(address, []) if at > since]
            if recent:
                self._failures[address] = recent
            else:
                self._failures.pop(address, None)
        return len(recent) >= _TRIES

    def check_often(self, name: str, password: str, address: str) -> bool:
        """Like `check`, for programs that send name and password each time."""
        digest = hashlib.sha256(f"{name}\0{password}\0{self._nobody}".encode()).digest()
        now = time.monotonic()
        with self._lock:
            known = self._known.get(digest)
        if known is not None and known[1] > now:
            return name in self._users()
        if not self.check(name, password, address):
            return False
        with self._lock:
            self._known[digest] = (name, now + _TRIES_S)
        return True

    def open(self, name: str) -> str:
        """Begin a session and return its token."""
        token = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            alive = {key: item for key, item in self._sessions.items() if item[1] > now}
            while len(alive) >= _MOST_SESSIONS:
                del alive[next(iter(alive))]
            self._sessions = {**alive, token: (name, now + self._session_s)}
        return token

    def user_of(self, token: str) -> str | None:
        """Return whose session it is, and prolong it; None where it is over."""
        now = time.monotonic()
        with self._lock:
            name, until = self._sessions.get(token, ("", 0.0))
            if until <= now:
                self._sessions.pop(token, None)
                return None
            self._sessions[token] = (name, now + self._session_s)
        return name if name in self._users() else None

    def _users(self) -> dict[str, str]:
        try:
            return read_users(self._path)
        except ConfigError as error:
            LOG.exception("nobody_may_log_in", extra={"code": error.code, "reason": str(error)})
            return {}

    def close(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(token, None)
