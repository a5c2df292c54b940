"""Signatures by Cloud KMS: what it is asked, what is believed of its answers, and its refusals."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from promotion.dsse import Envelope, Signature, pre_authentication_encoding
from promotion.errors import AccessDenied, BadConfiguration, ContentMismatch, Retryable
from promotion.keys import PrivateKey, PublicKey
from promotion.kms import KmsSigner, crc32c
from promotion.pipeline import Signing
from promotion.registry.connections import Connections
from promotion.registry.fetch import Answer
from promotion.signing import NotTrusted, TrustedKeys, signer_and_verifier
from tests.unit import scripted
from tests.unit.endpoint import Asked, Endpoint, answer
from tests.unit.scripted import ScriptedServer

KEY_VERSION = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
KMS = "https://cloudkms.googleapis.com"
TOKEN = "token-secret"
TYPE = "application/vnd.in-toto+json"
SECRET = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PublicKey(SECRET.public_key())
USER = {
    "type": "authorized_user",
    "client_id": "id",
    "client_secret": "client-secret",
    "refresh_token": "refresh-secret",
}


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The identity of somebody who has logged in."""
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(USER), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


class FakeKms:
    """Answers as Google does: tokens, the public key, and signatures; or as it is told to."""

    def __init__(self, public: Answer | None = None, signed: Answer | None = None) -> None:
        self._public = public or answer(200, public_key())
        self._signed = signed

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        if not asked.url.startswith(KMS):
            return answer(200, {"access_token": TOKEN, "expires_in": 3599})
        if asked.method == "GET":
            return self._public
        return self._signed or answer(200, signed(asked))


def public_key(**changes: object) -> dict[str, object]:
    """What Cloud KMS says of the key, with something changed."""
    content = {
        "pem": PUBLIC.pem,
        "algorithm": "EC_SIGN_P256_SHA256",
        "pemCrc32c": str(crc32c(PUBLIC.pem.encode())),
        "name": KEY_VERSION,
        "protectionLevel": "HSM",
    }
    return {**content, **changes}


def signed(asked: Asked) -> dict[str, object]:
    """What Cloud KMS answers when it is asked to sign: another signature each time."""
    request = json.loads(asked.body or b"")
    digest = base64.b64decode(request["digest"]["sha256"])
    assert request["digestCrc32c"] == str(crc32c(digest))
    return signature(SECRET.sign(digest, ec.ECDSA(Prehashed(SHA256()))))


def signature(value: bytes, **changes: object) -> dict[str, object]:
    """An answer that bears a signature, with something changed."""
    content = {
        "signature": base64.b64encode(value).decode(),
        "signatureCrc32c": str(crc32c(value)),
        "verifiedDigestCrc32c": True,
        "name": KEY_VERSION,
    }
    return {**content, **changes}


def refusal(status: int, code: str, message: str) -> Answer:
    """An error, as Google's services put it."""
    return answer(status, {"error": {"code": status, "message": message, "status": code}})


def test_the_checksum_is_castagnolis() -> None:
    """As the published check value has it."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


def test_what_it_signs_verifies() -> None:
    """The digest of payload and type is signed, by the key whose id the envelope names."""
    google = Endpoint(FakeKms())
    envelope = KmsSigner(KEY_VERSION, google).sign(TYPE, b"{}")
    assert TrustedKeys([PUBLIC]).verify(envelope) == PUBLIC.key_id
    assert [each.key_id for each in envelope.signatures] == [PUBLIC.key_id]
    to_kms = [each for each in google.asked if each.url.startswith(KMS)]
    assert [(each.method, each.url) for each in to_kms] == [
        ("GET", f"{KMS}/v1/{KEY_VERSION}/publicKey"),
        ("POST", f"{KMS}/v1/{KEY_VERSION}:asymmetricSign"),
    ]
    assert all(each.headers["Authorization"] == f"Bearer {TOKEN}" for each in to_kms)
    digest = hashlib.sha256(pre_authentication_encoding(TYPE, b"{}")).digest()
    assert json.loads(to_kms[1].body or b"")["digest"] == {
        "sha256": base64.b64encode(digest).decode()
    }


def test_its_key_is_trusted_if_nobody_is_named() -> None:
    """It is asked for once, however much is signed and verified, and not before."""
    google = Endpoint(FakeKms())
    signer, verifier = signer_and_verifier(Signing(kms=KEY_VERSION), google)
    assert not google.asked
    for payload in (b"{}", b"[]"):
        assert verifier.verify(signer.sign(TYPE, payload)) == PUBLIC.key_id
    assert signer.public_key == PUBLIC.pem
    assert [each.url for each in google.asked].count(f"{KMS}/v1/{KEY_VERSION}/publicKey") == 1
    forged = Envelope(TYPE, b"{}", (Signature(PrivateKey.generate().sign(b"{}"), PUBLIC.key_id),))
    with pytest.raises(NotTrusted):
        verifier.verify(forged)


def test_no_key_is_fetched_to_verify_where_keys_are_named() -> None:
    """Then nothing at all is asked of Google."""
    google = Endpoint(FakeKms())
    _, verifier = signer_and_verifier(Signing(kms=KEY_VERSION, trusted=(PUBLIC.pem,)), google)
    with pytest.raises(NotTrusted):
        verifier.verify(Envelope(TYPE, b"{}"))
    assert not google.asked


@pytest.mark.parametrize(
    ("refused", "error", "complaint"),
    [
        (
            refusal(403, "PERMISSION_DENIED", f"Permission 'useToSign' denied on {KEY_VERSION}"),
            AccessDenied,
            r"403 PERMISSION_DENIED: Permission 'useToSign' .*roles/cloudkms\.signerVerifier",
        ),
        (
            refusal(401, "UNAUTHENTICATED", f"not {TOKEN}"),
            AccessDenied,
            "401 UNAUTHENTICATED: not …",
        ),
        (refusal(404, "NOT_FOUND", "no such key"), BadConfiguration, r"check signing\.kms"),
        (refusal(400, "INVALID_ARGUMENT", "to encrypt"), BadConfiguration, r"check signing\.kms"),
        (refusal(400, "FAILED_PRECONDITION", "it is not enabled"), Retryable, "it is not enabled"),
        (refusal(429, "RESOURCE_EXHAUSTED", "quota"), Retryable, "will be tried again"),
        (answer(502, b"<html>"), Retryable, "502 .*will be tried again"),
        (answer(500, b"[" * 100_000), Retryable, "500 .*will be tried again"),
        (answer(302, b""), Retryable, "302 .*will be tried again"),
        (answer(200, b""), Retryable, "unintelligible"),
        (answer(200, b"[" * 100_000), Retryable, "unintelligible"),
        (answer(200, []), Retryable, "unintelligible"),
        (answer(200, {"algorithm": 1, "signature": 1}), Retryable, "unintelligible"),
    ],
)
def test_a_refusal_says_what_to_do(refused: Answer, error: type[Exception], complaint: str) -> None:
    """Whichever request is refused; what can pass is tried again, and no secret is repeated."""
    for google, attempt in (
        (FakeKms(public=refused), "read the public key of"),
        (FakeKms(signed=refused), "sign with"),
    ):
        with pytest.raises(
            error, match=rf"^Could not {attempt} {KEY_VERSION}: .*{complaint}"
        ) as caught:
            KmsSigner(KEY_VERSION, Endpoint(google)).sign(TYPE, b"{}")
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"verifiedDigestCrc32c": False},
        {"signatureCrc32c": "1"},
        {"signature": base64.b64encode(b"damaged").decode()},
        signature(b"by another key version"),
    ],
)
def test_a_damaged_signature_is_not_used(changes: Mapping[str, object]) -> None:
    """Nor one of a digest that was damaged before it was signed: it is tried again."""

    def google(asked: Asked) -> Answer:
        if asked.method == "POST" and asked.url.startswith(KMS):
            return answer(200, {**signed(asked), **changes})
        return FakeKms()(asked)

    with pytest.raises(ContentMismatch, match=r"^Could not sign with .* damaged on the way"):
        KmsSigner(KEY_VERSION, Endpoint(google)).sign(TYPE, b"{}")


def test_a_damaged_public_key_is_not_used() -> None:
    """Nor is it kept: it is asked for again."""
    answers = [answer(200, public_key(pemCrc32c="1")), answer(200, public_key())]

    def google(asked: Asked) -> Answer:
        return answers.pop(0) if asked.url.endswith("/publicKey") else FakeKms()(asked)

    signer = KmsSigner(KEY_VERSION, Endpoint(google))
    with pytest.raises(ContentMismatch, match=r"^Could not read the public key of .* damaged"):
        signer.sign(TYPE, b"{}")
    assert signer.public_key == PUBLIC.pem


@pytest.mark.parametrize(
    "algorithm", ["EC_SIGN_P384_SHA384", "RSA_SIGN_PSS_2048_SHA256", "PQ_SIGN_ML_DSA_65"]
)
def test_a_key_for_something_else_is_an_error(algorithm: str) -> None:
    """The text names its algorithm and the one that is needed."""
    said = {"algorithm": algorithm, "name": KEY_VERSION}
    with pytest.raises(BadConfiguration, match=rf"{algorithm}.*EC_SIGN_P256_SHA256"):
        KmsSigner(KEY_VERSION, Endpoint(FakeKms(public=answer(200, said)))).sign(TYPE, b"{}")


def test_a_refused_token_is_not_shown_again() -> None:
    """After 401 the next attempt has a new one."""
    google = Endpoint(FakeKms(signed=refusal(401, "UNAUTHENTICATED", "expired")))
    signer = KmsSigner(KEY_VERSION, google)
    for _ in range(2):
        with pytest.raises(AccessDenied):
            signer.sign(TYPE, b"{}")
    assert sum(not each.url.startswith(KMS) for each in google.asked) == 2


def test_it_is_asked_over_the_connections_of_everything_else() -> None:
    """Over HTTP, answers are read as they come; without one, it is tried again later."""
    payload = b"{}"
    good = PrivateKey(SECRET).sign(pre_authentication_encoding(TYPE, payload))
    contents = (public_key(), signature(good))
    script = [scripted.Answer(200, json.dumps(content).encode()) for content in contents]
    connections = Connections()
    with ScriptedServer(*script) as server:

        def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
            if not url.startswith(KMS):
                return answer(200, {"access_token": TOKEN, "expires_in": 3599})
            return connections.fetch(
                method, url.replace(KMS, f"http://{server.host}"), headers, body
            )

        signer = KmsSigner(KEY_VERSION, fetch)
        envelope = signer.sign(TYPE, payload)
        assert TrustedKeys([PUBLIC]).verify(envelope) == PUBLIC.key_id
        assert server.asked[1].path == f"/v1/{KEY_VERSION}:asymmetricSign"
        assert server.asked[1].headers["Content-Type"] == "application/json"
    connections.close()
    with pytest.raises(Retryable, match=r"^Could not sign with .* gave no answer .*tried again"):
        signer.sign(TYPE, payload)
    connections.close()
