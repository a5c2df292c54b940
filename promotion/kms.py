"""Signatures by a key that nobody can read: Cloud KMS, over REST.

    POST https://cloudkms.googleapis.com/v1/KEY_VERSION:asymmetricSign
    GET  https://cloudkms.googleapis.com/v1/KEY_VERSION/publicKey

Google's client library would bring gRPC, half a second and 40 MiB, for these two requests. What is
sent and what is answered carry checksums, as Google recommends: a signature over a damaged digest
would be a good signature, of nothing.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TypeVar

import msgspec

from promotion import typed
from promotion.dsse import Envelope, Signature, pre_authentication_encoding
from promotion.errors import (
    AccessDenied,
    BadConfiguration,
    ContentMismatch,
    PromotionError,
    RegistryUnavailable,
    Retryable,
)
from promotion.keys import PublicKey
from promotion.registry.credentials import secret_of
from promotion.registry.fetch import Answer, Fetch
from promotion.registry.google import GoogleDefault

_HOST = "cloudkms.googleapis.com"
_ALGORITHM = "EC_SIGN_P256_SHA256"
_LONGEST_EXPLANATION = 300

# Google's tokens are had by the names of its registries; any of them is good for Cloud KMS as well.
_TOKEN_HOST = "gcr.io"

_CASTAGNOLI = 0x82F63B78


class _PublicKey(msgspec.Struct, rename={"checksum": "pemCrc32c"}):
    algorithm: str
    pem: str = ""
    checksum: int = 0


class _Signed(
    msgspec.Struct,
    rename={"checksum": "signatureCrc32c", "digest_arrived": "verifiedDigestCrc32c"},
):
    signature: bytes
    checksum: int
    digest_arrived: bool = False


class _Problem(msgspec.Struct, frozen=True):
    message: str = ""
    status: str = ""


class _Complaint(msgspec.Struct):
    error: _Problem = _Problem()


_Said = TypeVar("_Said", _PublicKey, _Signed)


class KmsSigner:
    """Signs with a key version of Cloud KMS, ``projects/…/cryptoKeyVersions/1``."""

    def __init__(self, key_version: str, fetch: Fetch) -> None:
        self._key_version = key_version
        self._fetch = fetch
        self._identity = GoogleDefault(fetch)

    @property
    def public_key(self) -> str:
        """The PEM form of the public key, which is kept when it has come.

        Raises:
            AccessDenied: This identity may not see it.
            BadConfiguration: There is no such key version, or it is for something else.
            Retryable: Cloud KMS is busy, broken or out of reach.
        """
        return self._key.pem

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """An envelope with the payload and a signature, which is another one each time.

        Raises:
            AccessDenied: This identity may not sign.
            BadConfiguration: There is no such key version, or it is for something else.
            Retryable: Cloud KMS is busy, broken or out of reach.
        """
        signature = self._signature(pre_authentication_encoding(payload_type, payload))
        return Envelope(payload_type, payload, (Signature(signature, self._key.key_id),))

    @cached_property
    def _key(self) -> PublicKey:
        attempted = f"Could not read the public key of {self._key_version}"
        said = self._ask(attempted, "GET", "/publicKey", None, _PublicKey)
        if said.algorithm != _ALGORITHM:
            raise BadConfiguration(
                f"signing.kms: {self._key_version} is for {said.algorithm}; name a version of a key"
                f" whose purpose is to sign with {_ALGORITHM}"
            )
        pem = said.pem.encode()
        if crc32c(pem) != said.checksum:
            raise _damaged(attempted)
        return PublicKey.parse(pem, f"The public key of {self._key_version}")

    def _signature(self, content: bytes) -> bytes:
        attempted = f"Could not sign with {self._key_version}"
        digest = hashlib.sha256(content).digest()
        request = {"digest": {"sha256": digest}, "digestCrc32c": str(crc32c(digest))}
        body = msgspec.json.encode(request)
        key = self._key
        said = self._ask(attempted, "POST", ":asymmetricSign", body, _Signed)
        whole = said.digest_arrived and crc32c(said.signature) == said.checksum
        if not whole or not key.verifies(said.signature, content):
            raise _damaged(attempted)
        return said.signature

    def _ask(
        self, attempted: str, method: str, verb: str, body: bytes | None, kind: type[_Said]
    ) -> _Said:
        token = self._token()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            url = f"https://{_HOST}/v1/{self._key_version}{verb}"
            answer = self._fetch(method, url, headers, body)
        except RegistryUnavailable as error:
            raise Retryable(f"{attempted}: {error}; it will be tried again") from error
        if answer.status == 401:
            self._identity.renew(_TOKEN_HOST)
        if answer.status != 200:
            raise _refusal(attempted, answer, token)
        try:
            # Numbers of 64 bits are strings in Google's JSON.
            return typed.decode(answer.content, kind, strict=False)
        except (ValueError, RecursionError) as error:
            raise Retryable(f"{attempted}: {_HOST} gave an unintelligible answer") from error

    def _token(self) -> str:
        credential = self._identity.find(_TOKEN_HOST)
        return secret_of(credential) if credential else ""


def crc32c(content: bytes) -> int:
    """The checksum CRC-32C (RFC 3720, B.4); bit by bit, which is enough for a hundred bytes."""
    remainder = 0xFFFFFFFF
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (remainder & 1) * _CASTAGNOLI
    return remainder ^ 0xFFFFFFFF


def _damaged(attempted: str) -> ContentMismatch:
    return ContentMismatch(
        f"{attempted}: what {_HOST} received, or what it answered, was damaged on the way;"
        " it will be tried again"
    )


def _refusal(attempted: str, answer: Answer, token: str) -> PromotionError:
    problem = _problem(answer.content)
    # Nothing keeps an endpoint from repeating what it was shown.
    said = " ".join(f"{problem.status}: {problem.message}".split())
    said = said.replace(token, "…") if token else said
    text = f"{attempted}: {_HOST} answered {answer.status} {said[:_LONGEST_EXPLANATION]}"
    if answer.status in (401, 403):
        return AccessDenied(
            f"{text}; give the identity that runs this roles/cloudkms.signerVerifier on the key"
        )
    # A version that is disabled, or not generated yet, may be ready by the next delivery.
    if answer.status == 404 or (answer.status == 400 and problem.status != "FAILED_PRECONDITION"):
        return BadConfiguration(f"{text}; check signing.kms in promotion.yaml")
    return Retryable(f"{text}; it will be tried again")


def _problem(content: bytes) -> _Problem:
    try:
        return typed.decode(content, _Complaint).error
    except (ValueError, RecursionError):
        return _Problem()
