"""Servers that are told things: HTTP, SMTP and MLLP, each on a port of this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message as Hl7Message
from hl7apy.mllp import AbstractHandler, MLLPServer
from hl7apy.parser import parse_message

from tests.peers import wait_for


@dataclass(slots=True)
class Request:
    """What came by HTTP."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Inbox:
    """What a server got, and what it answers."""

    answer: int | str
    port: int = 0
    got: list[Any] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def wait(self, count: int = 1) -> list[Any]:
        """Wait until so many came, and return them."""
        return wait_for(
            lambda: list(self.got) if len(self.got) >= count else None,
            what=f"{count} at port {self.port}, there are {len(self.got)}",
        )


@contextmanager
def http_server(port: int = 0, answer: int = 200, context: SSLContext | None = None,
                document: Any = None) -> Iterator[Inbox]:  # fmt: skip
    """Take POST requests, and GET ones, which get a document."""
    inbox = Inbox(answer)
    inbox.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            inbox.got.append(Request(self.command, self.path, headers, self.rfile.read(length)))
            inbox.may_answer.wait(20)
            self.send_response(int(inbox.answer))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_OPTIONS(self) -> None:
            self.do_POST()

        def do_GET(self) -> None:
            inbox.got.append(Request(self.command, self.path, dict(self.headers), b""))
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked was killed
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    inbox.port = server.server_address[1]
    with _running(server):
        yield inbox
        inbox.may_answer.set()


@contextmanager
def _running(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def server_context(certificate: Path, key: Path) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class _MailBox:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(  # noqa: N802 - the library calls it so
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self._inbox.got.append((session.ssl is not None, session.authenticated, envelope))
        return str(self._inbox.answer)


def text_of(envelope: Envelope) -> EmailMessage:
    assert isinstance(envelope.content, bytes)
    return message_from_bytes(envelope.content, policy=policy.default)


@contextmanager
def mail_server(
    port: int, context: SSLContext, user: str, password: str, answer: str = "250 OK"
) -> Iterator[Inbox]:
    """Take mail after STARTTLS and a log-in."""
    inbox = Inbox(answer, port)

    def log_in(*arguments: Any) -> AuthResult:
        data = arguments[-1]
        assert isinstance(data, LoginPassword)
        is_known = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=is_known, handled=False)

    controller = Controller(
        _MailBox(inbox), hostname="127.0.0.1", port=port, tls_context=context,
        require_starttls=True, authenticator=log_in, auth_required=True, auth_require_tls=True,
    )  # fmt: skip
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


@contextmanager
def hl7_server(answer: str = "AA") -> Iterator[Inbox]:
    """Take ORU^R01 messages, each checked strictly, and acknowledge them."""
    inbox = Inbox(answer)

    class Handler(AbstractHandler):  # type: ignore[misc]  # the library has no types
        def reply(self) -> str:
            message = parse_message(self.incoming_message, VALIDATION_LEVEL.STRICT)
            inbox.got.append((message, self.incoming_message))
            return acknowledgement(message, str(inbox.answer))

    server = MLLPServer("127.0.0.1", 0, {"ORU^R01^ORU_R01": (Handler,)})
    inbox.port = server.server_address[1]
    with _running(server):
        yield inbox


def acknowledgement(message: Any, code: str) -> str:
    answer = Hl7Message("ACK", version="2.5.1")
    answer.msh.msh_9 = "ACK^R01^ACK"
    answer.msh.msh_10 = "1"
    answer.msh.msh_11 = "P"
    answer.add_segment("MSA")
    answer.msa.msa_1 = code
    answer.msa.msa_2 = message.msh.msh_10.to_er7()
    return str(answer.to_mllp())
