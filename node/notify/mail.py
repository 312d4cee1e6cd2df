"""Tell by mail.

References
----------
RFC 5321 "Simple Mail Transfer Protocol", 4.2.1 "Reply Code Severities and
Theory"; RFC 3834 "Recommendations for Automatic Responses to Electronic Mail",
5 "The Auto-Submitted header field"; RFC 8314, 3 "Use of TLS by Mail User
Agents and Message Submission Servers".
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from node.errors import NotificationError, NotificationRefusedError, PeerTimeoutError
from node.notify.message import Message
from node.notify.settings import Notification
from node.notify.texts import render_mail
from node.secret import read_secret
from node.tls import outgoing_context

LOG = logging.getLogger(__name__)

_FOR_GOOD: Final = 500
"""RFC 5321, 4.2.1: replies from here on are permanent."""


def send_mail(target: Notification, message: Message) -> None:
    """Send a notice to all recipients.

    Raises
    ------
    PeerError
        It was not taken; `NotificationRefusedError` where it never will be.
    ConfigError
        Secret, certificate or template cannot be used.
    """
    mail = make_mail(target, message)
    with connection(target) as server:
        refused = server.send_message(mail)
    if refused:
        # the others have it: once more would tell them twice
        LOG.warning(
            "recipients_refused",
            extra={"destination": target.name, "code": min(code for code, _ in refused.values())},
        )


def make_mail(target: Notification, message: Message) -> EmailMessage:
    """Return the mail.

    Raises
    ------
    ConfigError
        The template cannot be used.
    """
    subject, text = render_mail(target.template, message.facts())
    mail = EmailMessage()
    mail["From"] = target.sender
    mail["To"] = ", ".join(target.to)
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.notice.at, UTC))
    domain = str(target.sender).rpartition("@")[2]
    # the same for each attempt, so that mail programs know a second copy
    mail["Message-ID"] = f"<{message.notice.id}.{target.name}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    return mail


@contextmanager
def connection(target: Notification) -> Iterator[smtplib.SMTP]:
    """Open a connection, protected and logged in as configured.

    What the library raises while it is open becomes an error of ours, too.

    Raises
    ------
    PeerTimeoutError
        The server cannot be reached.
    NotificationError
        It does not let us in, or does not take what is sent.
    ConfigError
        Secret or certificate cannot be used.
    """
    secret = read_secret(target.secret_file, target.secret_env)
    with _told_apart(target):
        server = _open(target)
        try:
            if target.protection == "starttls":
                server.starttls(context=outgoing_context(target.ca))
            if target.user is not None:
                server.login(target.user, secret or "")
            yield server
        finally:
            _close(server)


def _open(target: Notification) -> smtplib.SMTP:
    host, port = target.address
    if target.protection == "tls":
        context = outgoing_context(target.ca)
        return smtplib.SMTP_SSL(host, port, timeout=target.timeout_s, context=context)
    return smtplib.SMTP(host, port, timeout=target.timeout_s)


def _close(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()


@contextmanager
def _told_apart(target: Notification) -> Iterator[None]:
    """Turn what the library raises into errors of ours, without the server's words."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _refusal(target, min(codes, default=0)) from error
    except smtplib.SMTPAuthenticationError as error:
        raise NotificationError(
            f"{target.name}: the mail server does not know user or password ({error.smtp_code})"
        ) from error
    except smtplib.SMTPResponseException as error:
        raise _refusal(target, error.smtp_code) from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotificationError(
            f"{target.name}: the mail server has no STARTTLS or no login: see security"
        ) from error
    except ssl.SSLError as error:
        raise PeerTimeoutError(f"{target.name}: no TLS connection: check ca") from error
    except (smtplib.SMTPException, OSError) as error:
        raise PeerTimeoutError(
            f"{target.name}: the mail server cannot be reached ({type(error).__name__})"
        ) from error


def _refusal(target: Notification, code: int) -> NotificationError:
    text = f"{target.name}: the mail server answered {code}"
    return (NotificationRefusedError if code >= _FOR_GOOD else NotificationError)(text)
