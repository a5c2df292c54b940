"""A token service for a real registry: who may do what, signed with a key that it trusts.

Follows the Distribution project's "Token Authentication Specification" and its OAuth 2 variant.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from dev.serving import Serving

SERVICE = "the registry"
ISSUER = "the token service"

Rights = Mapping[str, frozenset[str]]
"""By repository: what one may do there."""


@dataclass(frozen=True)
class Asked:
    """One token that was asked for.

    Attributes:
        who: The user; empty for nobody.
        scopes: In the order in which they were asked for.
        status: How it was answered.
    """

    method: str
    who: str
    service: str
    scopes: tuple[str, ...]
    status: int


@dataclass(frozen=True)
class User:
    """Somebody who may ask for tokens."""

    password: str = ""
    refresh_token: str = ""
    rights: Rights = field(default_factory=dict)


class TokenService(Serving):
    """Issues tokens for as long as its `with` block lasts.

    Attributes:
        users: By name; the one without a name is everybody.
        asked: Every request, oldest first.
        status: What is answered instead of a token, unless it is 200.
        lifetime: How long the next tokens are good for, in seconds; negative: they have ended.
    """

    def __init__(self, directory: Path, users: Mapping[str, User]) -> None:
        self.users = users
        self.asked: list[Asked] = []
        self.status = 200
        self.lifetime = 300
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _self_signed(self._key)
        self._bundle = directory / "trusted.pem"
        self._bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def registry_auth(self) -> Mapping[str, object]:
        """The section `auth` in the configuration of a registry that trusts this service."""
        return {
            "token": {
                "realm": f"http://127.0.0.1:{self._server.server_port}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(self._bundle),
            }
        }

    def answer(
        self, method: str, who: str | None, parameters: Mapping[str, list[str]]
    ) -> tuple[int, object]:
        """A token for as much of the scopes as somebody has the right to; None is not let in."""
        scopes = tuple(" ".join(parameters.get("scope", [])).split())
        status = 401 if who is None and self.status == 200 else self.status
        service = parameters.get("service", [""])[0]
        self.asked.append(Asked(method, who or "", service, scopes, status))
        if status != 200:
            return status, {"errors": [{"code": "UNAUTHORIZED", "message": "not here"}]}
        rights = self.users[who or ""].rights
        token = self._signed(who or "", [_granted(scope, rights) for scope in scopes])
        name = "token" if method == "GET" else "access_token"
        return 200, {name: token, "expires_in": max(self.lifetime, 60)}

    def by_password(self, authorization: str) -> str | None:
        """Who shows a password; None for somebody who shows a wrong one."""
        if not authorization:
            return ""
        name, _, password = base64.b64decode(authorization.split()[1]).decode().partition(":")
        user = self.users.get(name)
        return name if user and user.password == password else None

    def by_refresh_token(self, token: str) -> str | None:
        """Who shows a refresh token."""
        owners = (name for name, user in self.users.items() if user.refresh_token == token)
        return next(owners, None) if token else None

    def _signed(self, who: str, access: list[dict[str, object]]) -> str:
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": who,
            "aud": SERVICE,
            "iat": now - 3600,
            "nbf": now - 3600,
            "exp": now + self.lifetime,
            "jti": str(uuid.uuid4()),
            "access": access,
        }
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return b".".join((signed, _encoded(signature))).decode()


def _handler(service: TokenService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            who = service.by_password(self.headers.get("Authorization", ""))
            self._answer(*service.answer("GET", who, parse_qs(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            form = parse_qs(self.rfile.read(length).decode())
            who = service.by_refresh_token(form.get("refresh_token", [""])[0])
            self._answer(*service.answer("POST", who, form))

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _granted(scope: str, rights: Rights) -> dict[str, object]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    granted = rights.get(name, frozenset()) & set(actions.split(","))
    return {"type": kind, "name": name, "actions": sorted(granted)}


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
