"""What stands before every page: headers, names of the host, origins, people.

References
----------
W3C Fetch Metadata Request Headers, ``Sec-Fetch-Site``; OWASP Cross-Site Request
Forgery Prevention Cheat Sheet, "Fetch Metadata headers".
"""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.web.accounts import Accounts
from node.web.settings import Web

COOKIE: Final = "aspects-node-session"
OPEN_PATHS: Final = ("/static/", "/login", "/healthz", "/readyz")
"""What needs no log-in; it shows nothing of a series."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_YEAR_S: Final = 365 * 24 * 3600


class Guard:
    """Lets through who may come in, and from where; adds the security headers.

    Parameters
    ----------
    app : ASGI application
    settings : Web
    accounts : Accounts or None
        None where nobody logs in here.
    """

    def __init__(self, app: ASGIApp, settings: Web, accounts: Accounts | None) -> None:
        self._app = app
        self._settings = settings
        self._accounts = accounts
        self._headers = dict(_HEADERS)
        if settings.certificate is not None:
            self._headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        refusal = self._refuse(request) or await self._identify(request)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refuse(self, request: Request) -> Response | None:
        """Refuse what another site's page makes a browser send."""
        if self._settings.is_open and _host_name(request) not in self._own_names:
            # a foreign name that points at this address: DNS rebinding
            return _problem(421, "this server is not called like that; use localhost")
        if request.method not in _SAFE and not _is_same_origin(request):
            return _problem(403, "the request came from a page of another site")
        return None

    @property
    def _own_names(self) -> frozenset[str]:
        return _LOCAL_NAMES | {self._settings.host}

    async def _identify(self, request: Request) -> Response | None:
        """Find out who asks; return an answer where that is nobody."""
        request.scope["user"] = ""
        if self._settings.is_open:
            return None
        user = self._by_proxy(request) or self._by_session(request)
        user = user or await self._by_password(request)
        if user:
            request.scope["user"] = user
            return None
        if request.url.path.startswith(OPEN_PATHS):
            return None
        return self._ask_for_log_in(request)

    def _by_proxy(self, request: Request) -> str | None:
        settings = self._settings
        if settings.proxy_header is None or _address(request) not in settings.trusted_proxies:
            return None
        return request.headers.get(settings.proxy_header, "").strip()[:64] or None

    def _by_session(self, request: Request) -> str | None:
        token = request.cookies.get(COOKIE)
        return self._accounts.user_of(token) if self._accounts and token else None

    async def _by_password(self, request: Request) -> str | None:
        given = _basic(request.headers.get("Authorization", ""))
        if self._accounts is None or given is None:
            return None
        right = await run_in_threadpool(self._accounts.check_often, *given, _address(request))
        return given[0] if right else None

    def _ask_for_log_in(self, request: Request) -> Response:
        wants_page = "text/html" in request.headers.get("Accept", "") and request.method == "GET"
        if wants_page and self._accounts is not None:
            return RedirectResponse(f"/login?next={quote(request.url.path)}", status_code=303)
        answer = _problem(401, "log in first")
        # a browser would put up a window of its own
        if self._accounts is not None and "Sec-Fetch-Site" not in request.headers:
            answer.headers["WWW-Authenticate"] = 'Basic realm="aspects-node", charset="UTF-8"'
        return answer


def is_secure(request: Request, settings: Web) -> bool:
    """Tell whether the browser speaks HTTPS with us, or with a proxy before us."""
    return settings.certificate is not None or (
        _address(request) in settings.trusted_proxies
        and request.headers.get("X-Forwarded-Proto") == "https"
    )


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status_code=status)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _host_name(request: Request) -> str:
    """Return the host that the browser called, without its port."""
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_same_origin(request: Request) -> bool:
    """Tell whether a page of ours, or no page, sent a request that changes something."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("Host")


def _basic(header: str) -> tuple[str, str] | None:
    """Return name and password of HTTP Basic authentication, where they are given.

    Examples
    --------
    >>> _basic("Basic YWxpY2U6c2VjcmV0")
    ('alice', 'secret')
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None
