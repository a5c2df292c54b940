"""Identity tokens as Google makes them, signed by a key that was made for this run."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from tests.unit.scripted import Answer

AUDIENCE = "https://promotion-control-abc-ew.a.run.app"
PERSON = "ann@acme.example"
KEY_ID = "key-1"
REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"


@cache
def key(whose: str) -> rsa.RSAPrivateKey:  # noqa: ARG001 - tells one key from another
    """The key of Google, or of somebody else."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificates(cache_control: str = "public, max-age=19800, must-revalidate") -> Answer:
    """What Google's certificate endpoint answers."""
    headers = {"Cache-Control": cache_control} if cache_control else {}
    return Answer(200, json.dumps({KEY_ID: _certificate()}).encode(), headers)


def claims(**changes: object) -> dict[str, object]:
    """What a token says: that it is a person's, for this service, for a day; None: left out."""
    now = int(time.time())
    said = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "sub": "1",
        "email": PERSON,
        "email_verified": True,
        "iat": now - 10,
        "exp": now + 24 * 3600,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def token(
    whose: str = "Google", header: Mapping[str, object] | None = None, **changes: object
) -> str:
    """A token that says so, signed by that key."""
    first = {"alg": "RS256", "kid": KEY_ID, "typ": "JWT", **(header or {})}
    signed = f"{_part(first)}.{_part(claims(**changes))}"
    signature = key(whose).sign(signed.encode(), padding.PKCS1v15(), SHA256())
    return f"{signed}.{_encoded(signature)}"


def stripped(whole: str) -> str:
    """What Cloud Run leaves of a token that it has checked."""
    return f"{whole.rpartition('.')[0]}.{REMOVED}"


def forwarded(whole: str) -> dict[str, str]:
    """The headers that arrive when a token was sent in both."""
    return {
        "Authorization": f"Bearer {whole}",
        "X-Serverless-Authorization": f"Bearer {stripped(whole)}",
    }


def _part(content: object) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@cache
def _certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key("Google").public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key("Google"), SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()
