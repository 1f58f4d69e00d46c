"""Signatures of webhooks, as Standard Webhooks has them: HMAC-SHA256 of id, time and body.

Headers: webhook-id (the same for every try), webhook-timestamp (Unix time of this try, seconds), webhook-signature
(v1, and the base64 of the HMAC of `ID.TIMESTAMP.BODY`; several with spaces between, one a secret).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from p2i_ray.errors import UserError

PREFIX = "whsec_"
BYTES = range(24, 65)  # of a secret
MAKE = "python -c \"import base64, secrets; print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""


def read_secrets(text: str, variable: str) -> list[bytes]:
    """The secrets of a variable, separated by commas: the first is the receiver's, further ones while it changes.

    Raises:
        UserError: there is none, or one is no secret; the message shows no part of it.
    """
    secrets = [_secret(part.strip(), variable) for part in text.split(",") if part.strip()]
    if not secrets:
        raise UserError(f"serve.webhooks.allowed needs {variable}, with which messages are signed; `{MAKE}` makes one")
    return secrets


def headers(identifier: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The headers of a message.

    Args:
        identifier: of the message.
        timestamp: of this try, Unix time in seconds.
        body: of the request.
        secrets: each signs.
    """
    signed = b".".join((identifier.encode("ascii"), str(timestamp).encode("ascii"), body))
    digests = [base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode("ascii") for secret in secrets]
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }


def _secret(text: str, variable: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
    except binascii.Error:
        secret = b""
    if len(secret) not in BYTES:
        raise UserError(
            f"{variable} must be {PREFIX} and the base64 of {BYTES.start} to {BYTES.stop - 1} bytes; `{MAKE}` makes one"
        )
    return secret
