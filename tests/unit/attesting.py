"""Statements for the tests: honest ones, and such as somebody without the key can write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from promotion.dsse import Envelope, Signature, pre_authentication_encoding
from promotion.evidence import attestation
from promotion.evidence.attested import MOST, Evidence
from promotion.evidence.record import PromotionRecord, RecordedFinding
from promotion.evidence.statement import PAYLOAD_TYPE, ResourceDescriptor
from promotion.evidence.store import EvidenceStore
from promotion.evidence.suite_run import PREDICATE_TYPE, SuiteRun
from promotion.keys import PrivateKey, PublicKey
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference
from promotion.signing import TrustedKeys

KEY = PrivateKey.generate()
STRANGER = PrivateKey.generate()

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
RUN = SuiteRun(
    pipeline="shop",
    stage="fast-feedback",
    repository="registry.example/shop/fast-feedback/shop",
    version="1.4.2",
    suite="functional",
    passed=True,
    finished_at=AT,
)
RECORD = PromotionRecord(
    pipeline="shop",
    from_stage="fast-feedback",
    to_stage="extended-test",
    source=Reference.parse("registry.example/shop/fast-feedback/shop:1.4.2"),
    destination=Reference.parse("registry.example/shop/extended-test/shop:1.4.2"),
    decided_at=AT,
    policy=ResourceDescriptor("oci://registry.example/shop/extended-test/promotion-policy@…"),
    inputs=(ResourceDescriptor.of("oci://registry.example/shop", Digest(f"sha256:{'c' * 64}")),),
    findings=(RecordedFinding("suite-succeeded", "suite functional succeeded"),),
    event_id="4e1d8c4e-0000-5000-8000-000000000000",
    resource="pkg:oci/shop@sha256:…",
)


class KeySigner:
    """Signs with a key that is in no file."""

    def __init__(self, key: PrivateKey = KEY) -> None:
        self._key = key
        self.public_key = key.public.pem

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """An envelope with the payload and a signature, the same for the same payload."""
        return envelope(payload, self._key, payload_type=payload_type)


class FreshSigner:
    """Signs like Cloud KMS: each time with another signature."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.public = PublicKey(self._key.public_key())
        self.public_key = self.public.pem

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """An envelope with the payload and a signature that there was never before."""
        content = pre_authentication_encoding(payload_type, payload)
        value = self._key.sign(content, ec.ECDSA(SHA256()))
        return Envelope(payload_type, payload, (Signature(value, self.public.key_id),))


def store() -> EvidenceStore:
    """A store that has just been opened, which signs with KEY and trusts nobody else."""
    return EvidenceStore(KeySigner(), TrustedKeys([KEY.public]))


def envelope(payload: bytes, *keys: PrivateKey, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """A payload that these keys have signed."""
    content = pre_authentication_encoding(payload_type, payload)
    signatures = tuple(Signature(key.sign(content), key.public.key_id) for key in keys)
    return Envelope(payload_type, payload, signatures)


def bundle(payload: bytes, *keys: PrivateKey, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """A Sigstore bundle with a payload that these keys have signed."""
    return envelope(payload, *keys, payload_type=payload_type).to_bundle()


def attach(
    repository: RepositoryClient,
    subject: Manifest,
    bundle: bytes,
    predicate_type: str = PREDICATE_TYPE,
    at: datetime = AT,
) -> Manifest:
    """Attach a bundle to an image, as whoever can write to its repository can."""
    written = attestation.manifest(subject, bundle, predicate_type, at)
    return attach_manifest(repository, subject.digest, written, bundle)


def attach_manifest(
    repository: RepositoryClient, subject: Digest, written: Manifest, *blobs: bytes
) -> Manifest:
    """Attach a manifest of any form, and what it points to, where statements are looked for."""
    for content in (attestation.EMPTY, *blobs):
        repository.put_blob(content)
    repository.put_manifest(written)
    if repository.referrers(subject) is None:
        repository.put_manifest(written, attestation.tag_of(subject, written.digest))
    return written


def flood(repository: RepositoryClient, subject: Manifest) -> None:
    """Attach one attestation more than is ever read; none of them counts."""
    unsigned = bundle(b"flood")
    for content in (attestation.EMPTY, unsigned):
        repository.put_blob(content)
    tagged = repository.referrers(subject.digest) is None
    for number in range(MOST + 1):
        at = AT + timedelta(seconds=number)
        written = attestation.manifest(subject, unsigned, PREDICATE_TYPE, at)
        repository.put_manifest(written)
        if tagged:
            repository.put_manifest(written, attestation.tag_of(subject.digest, written.digest))


def key_files(folder: Path, key: PrivateKey = KEY) -> tuple[Path, Path]:
    """Files with a private key and its public key."""
    private, public = folder / "signing.pem", folder / "signing.pub.pem"
    private.write_bytes(key.to_pem())
    public.write_text(key.public.pem, encoding="ascii")
    return private, public


def reasons(evidence: Evidence) -> list[str]:
    """Why things that are attached do not count."""
    return [each.reason for each in evidence.ignored]


def state(
    place: RepositoryClient, image: Manifest, run: SuiteRun = RUN, by: EvidenceStore | None = None
) -> None:
    """State what a suite found, as the promoter does."""
    by = by or store()
    by.attach(place, image, run, by.read(image.digest, [place]))


def read(place: RepositoryClient, image: Manifest) -> Evidence:
    """What somebody reads who has not read before."""
    return store().read(image.digest, [place])


def another(number: int) -> SuiteRun:
    """A run of the suite at another time."""
    return msgspec.structs.replace(RUN, finished_at=RUN.finished_at + timedelta(minutes=number))
