"""Tell by HTTP POST of JSON, signed.

References
----------
Standard Webhooks, "Webhook Headers (Sending metadata to consumers)" and "Signature scheme":
``webhook-id``, ``webhook-timestamp``, ``webhook-signature``; HMAC-SHA256 over
``id.timestamp.body``, in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json

from node.errors import ConfigError
from node.notify.http import deliver, open_session
from node.notify.message import Message
from node.notify.settings import Notification
from node.notify.texts import render_json
from node.secret import read_secret
from node.state import now_s

_PREFIX = "whsec_"


def send_webhook(target: Notification, message: Message) -> None:
    """Post a notice.

    Raises
    ------
    PeerError
        It was not taken; `NotificationRefusedError` where it never will be.
    ConfigError
        Secret or template cannot be used.
    """
    body = _body(target, message)
    headers = {"Content-Type": "application/json", "webhook-id": message.notice.id}
    secret = read_secret(target.secret_file, target.secret_env)
    if secret is not None:
        headers |= signature(secret, message.notice.id, int(now_s()), body)
    with open_session(target) as session:
        deliver(session, target, str(target.url), body, headers)


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver knows that a request is ours and new.

    Parameters
    ----------
    secret : str
        ``whsec_`` and base64, or any other text.
    message_id : str
    timestamp : int
        Seconds since the epoch.
    body : bytes

    Raises
    ------
    ConfigError
        What follows ``whsec_`` is not base64.

    Examples
    --------
    The example of the specification's own libraries:

    >>> key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    >>> body = b'{"test": 2432232314}'
    >>> signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)["webhook-signature"]
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ConfigError(f"the secret of a webhook: after {_PREFIX} comes base64") from error


def _body(target: Notification, message: Message) -> bytes:
    if target.template is not None:
        return render_json(target.template, message.facts())
    return json.dumps(message.facts()).encode()
